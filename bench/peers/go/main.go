// Goroutines on one processor (GOMAXPROCS=1): yields, spawns, parked ones, sleepers, channels, and an echo server.
//
//	peer yield N | spawn N | items128 | round-trip      prints: ns X
//	peer memory N                                       prints: bytes X
//	peer timers N                                       prints: slept CPU CPU_PARKED LATE LATEST
//	peer echo SIZE                                      prints: listening on ADDR, then serves
//
// The same work as greenloom's side. Yields and channels are written like BenchmarkYield and BenchmarkChanSync of
// Go's own runtime package, joins with the WaitGroup that a program would use.
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const rounds = 5

// The least time of a round.
const floor = 20 * time.Millisecond

// median measures with so many operations as fill a round.
func median(measure func(operations int) (int, time.Duration)) float64 {
	operations := 1
	for {
		done, elapsed := measure(operations)
		if elapsed >= floor {
			operations = done
			break
		}
		operations = done * 4
	}
	var ns []float64
	for i := 0; i < rounds; i++ {
		done, elapsed := measure(operations)
		ns = append(ns, float64(elapsed.Nanoseconds())/float64(done))
	}
	sort.Float64s(ns)
	return ns[rounds/2]
}

// yields counts from the first goroutine that has started to the last that is through.
func yields(n int) func(int) (int, time.Duration) {
	return func(operations int) (int, time.Duration) {
		laps := (operations + n - 1) / n
		var all sync.WaitGroup
		var once sync.Once
		var start, end time.Time
		var left int64 = int64(n)
		all.Add(n)
		for i := 0; i < n; i++ {
			go func() {
				once.Do(func() { start = time.Now() })
				runtime.Gosched()
				for lap := 0; lap < laps; lap++ {
					runtime.Gosched()
				}
				if atomic.AddInt64(&left, -1) == 0 {
					end = time.Now()
				}
				all.Done()
			}()
		}
		all.Wait()
		return laps * n, end.Sub(start)
	}
}

func spawns(n int) func(int) (int, time.Duration) {
	return func(operations int) (int, time.Duration) {
		batches := (operations + n - 1) / n
		start := time.Now()
		for i := 0; i < batches; i++ {
			var all sync.WaitGroup
			all.Add(n)
			for j := 0; j < n; j++ {
				go all.Done()
			}
			all.Wait()
		}
		return batches * n, time.Since(start)
	}
}

func items(capacity int) func(int) (int, time.Duration) {
	return func(operations int) (int, time.Duration) {
		channel := make(chan uint64, capacity)
		start := time.Now()
		go func() {
			for i := 0; i < operations; i++ {
				channel <- uint64(i)
			}
		}()
		for i := 0; i < operations; i++ {
			<-channel
		}
		return operations, time.Since(start)
	}
}

func roundTrips(operations int) (int, time.Duration) {
	ping, pong := make(chan uint64), make(chan uint64)
	go func() {
		for value := range ping {
			pong <- value
		}
	}()
	start := time.Now()
	for i := 0; i < operations; i++ {
		ping <- uint64(i)
		<-pong
	}
	elapsed := time.Since(start)
	close(ping)
	return operations, elapsed
}

// taken is the resident set and the page tables of this process, in bytes.
func taken() int {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	total := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && (words[0] == "VmRSS:" || words[0] == "VmPTE:") {
			kib, err := strconv.Atoi(words[1])
			if err != nil {
				panic(err)
			}
			total += kib * 1024
		}
	}
	return total
}

func memory(n int) {
	runtime.GC()
	before := taken()
	never := make(chan struct{})
	var parked int64
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&parked, 1)
			<-never
		}()
	}
	for atomic.LoadInt64(&parked) < int64(n) {
		runtime.Gosched()
	}
	runtime.Gosched()
	fmt.Println("bytes", float64(taken()-before)/float64(n))
}

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func timers(n int) {
	late := make([]int64, n)
	before := cpu()
	first := time.Now().Add(1500 * time.Millisecond)
	chance := rand.New(rand.NewSource(1))
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		due := first.Add(time.Duration(chance.Int63n(1e9)))
		go func(i int) {
			time.Sleep(time.Until(due))
			late[i] = time.Since(due).Nanoseconds()
			all.Done()
		}(i)
	}
	runtime.Gosched()
	parked := cpu()
	all.Wait()
	after := cpu()
	sort.Slice(late, func(a, b int) bool { return late[a] < late[b] })
	fmt.Println("slept", after-before, after-parked, late[(n-1)/2], late[(n-1)*99/100])
}

func echo(size int) {
	buffer := 4096
	if size >= buffer {
		buffer = 32768
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer connection.Close()
			bytes := make([]byte, buffer)
			for {
				n, err := connection.Read(bytes)
				if err != nil {
					return
				}
				if _, err := connection.Write(bytes[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func main() {
	n := 0
	if len(os.Args) > 2 {
		var err error
		if n, err = strconv.Atoi(os.Args[2]); err != nil || n < 1 {
			panic("a number, please")
		}
	}
	part := ""
	if len(os.Args) > 1 {
		part = os.Args[1]
	}
	switch part {
	case "yield":
		fmt.Println("ns", median(yields(n)))
	case "spawn":
		fmt.Println("ns", median(spawns(n)))
	case "items128":
		fmt.Println("ns", median(items(128)))
	case "round-trip":
		fmt.Println("ns", median(roundTrips))
	case "memory":
		memory(n)
	case "timers":
		timers(n)
	case "echo":
		echo(n)
	default:
		fmt.Fprintln(os.Stderr, "no part", part)
		os.Exit(2)
	}
}
