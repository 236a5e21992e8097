module bench.invalid/peer

go 1.19
