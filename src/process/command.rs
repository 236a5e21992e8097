//! `Command`: std's, whose children are waited for cooperatively.
//!
//! A wrapper: what is to be started is std's business, and is started by std. What std does not let one ask, whether
//! a stream was set, is noted here, since the default of `output` differs.
#![forbid(unsafe_code)]

use core::fmt;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

use super::child::{Child, reap_killed};
use super::exit::Reserved;

/// What the drop of a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDrop {
    Leave,
    Kill,
}

/// The streams that were set, so that `output` leaves them as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// A process to be started: [`std::process::Command`], whose children are waited for cooperatively.
///
/// ```
/// use greenloom::process::Command;
///
/// let output = Command::new("echo").arg("hello").output()?;
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Differences from std's type
/// - Starting a process itself blocks the thread until the program runs, a fraction of a millisecond as a rule.
/// - [`kill_on_drop`](Self::kill_on_drop).
/// - Of `std::os::unix::process::CommandExt` it has the safe methods. For the others, and for whatever std gets later, there
///   is [`as_std_mut`](Self::as_std_mut); what is set through that about streams, [`output`](Self::output) does not know.
pub struct Command {
    inner: process::Command,
    set: Set,
    on_drop: OnDrop,
}

impl Command {
    /// A command that runs `program`, found in `PATH` if it is no path. Without arguments, with this process's environment,
    /// directory and streams.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of the child's environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.inner.envs(vars);
        self
    }

    /// Takes a variable out of the child's environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Takes all variables out of the child's environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the child's working directory.
    #[doc(alias = "cwd")]
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets what the child reads; by default what this process reads, and nothing in [`output`](Self::output).
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.inner.stdin(stream);
        self.set.stdin = true;
        self
    }

    /// Sets where the child's output goes; by default where this process's goes, and into the result in
    /// [`output`](Self::output).
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.inner.stdout(stream);
        self.set.stdout = true;
        self
    }

    /// Sets where the child's errors go; the defaults are those of [`stdout`](Self::stdout).
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.inner.stderr(stream);
        self.set.stderr = true;
        self
    }

    /// Sets the child's name for itself, its argument number 0.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg0(arg);
        self
    }

    /// Sets the child's user.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.inner.uid(id);
        self
    }

    /// Sets the child's group.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.inner.gid(id);
        self
    }

    /// Sets the child's process group; 0 for one of its own. What the terminal sends, ctrl-C for instance, goes to this
    /// process's group.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.inner.process_group(group);
        self
    }

    /// Replaces this process by the program: returns only if that fails. No destructor runs, no task goes on.
    ///
    /// # Errors
    /// The system's. Some settings of this process may have been changed.
    #[must_use = "it returns only to tell why it failed"]
    pub fn exec(&mut self) -> io::Error {
        self.inner.exec()
    }

    /// Children are ended by `SIGKILL` if they are dropped before they were waited for: also if the task that has one is
    /// killed. Otherwise they run on.
    ///
    /// The drop does not wait. The next spawn in this process cleans up.
    pub fn kill_on_drop(&mut self) -> &mut Self {
        self.on_drop = OnDrop::Kill;
        self
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// What was set and taken out of the environment.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// The command as std has it.
    pub fn as_std(&self) -> &process::Command {
        &self.inner
    }

    /// The command as std has it, for what std can set and this type cannot: `pre_exec`, `groups`.
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.inner
    }

    /// The command as std has it.
    pub fn into_std(self) -> process::Command {
        self.inner
    }

    /// Starts the program.
    ///
    /// # Blocking
    /// Does not switch; blocks the thread until the program runs.
    ///
    /// # Errors
    /// The system's: `NotFound`, `PermissionDenied`, no descriptor or process left.
    pub fn spawn(&mut self) -> io::Result<Child> {
        reap_killed();
        let reserved = Reserved::new()?;
        let child = self.inner.spawn()?;
        Child::adopt(child, reserved).map(|child| child.on_drop(self.on_drop))
    }

    /// Starts the program, waits for its end, and returns what it wrote: [`Child::wait_with_output`].
    ///
    /// Streams that were set stay as they were set.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.defaults(Stdio::null, Stdio::piped);
        let spawned = self.spawn();
        // Not for a later `spawn`.
        self.defaults(Stdio::inherit, Stdio::inherit);
        spawned?.wait_with_output()
    }

    fn defaults(&mut self, input: impl Fn() -> Stdio, output: impl Fn() -> Stdio) {
        if !self.set.stdin {
            self.inner.stdin(input());
        }
        if !self.set.stdout {
            self.inner.stdout(output());
        }
        if !self.set.stderr {
            self.inner.stderr(output());
        }
    }

    /// Starts the program, waits for its end, and returns how it ended.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }
}

/// The streams that it has set count as set only until [`output`](Command::output).
impl From<process::Command> for Command {
    fn from(inner: process::Command) -> Self {
        Self {
            inner,
            set: Set::default(),
            on_drop: OnDrop::Leave,
        }
    }
}

/// As std's: program and arguments.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
