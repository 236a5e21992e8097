//! `fs`: std's files, on the pool.

#[path = "util/sharing.rs"]
#[macro_use]
mod sharing;
mod util;

use std::cell::RefCell;
use std::env;
use std::ffi::CString;
use std::fs as std_fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use greenloom::blocking::{ThreadPool, default_pool};
use greenloom::fs::{self, CHUNK, DirBuilder, File, FileTimes, OpenOptions, TryLockError};
use greenloom::hub::Unwinding;
use greenloom::io::TimeoutElapsed;
use greenloom::task::JoinError;
use greenloom::{spawn, timeout, yield_now};
use sharing::settle;

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("greenloom-fs-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        std_fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std_fs::remove_dir_all(&self.0);
    }
}

/// Runs `f` in a task, where calls go to the pool.
#[track_caller]
fn in_task<T: 'static>(f: impl FnOnce(&Folder) -> T + 'static) -> T {
    let folder = Folder::new();
    spawn(move || f(&folder)).join().expect("the task's result")
}

/// A pipe in the file system, which a reader opens only together with a writer.
fn fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn is_send_and_sync() {
    assert!(is!(File: Send) && is!(File: Sync));
    assert!(is!(fs::ReadDir: Send) && is!(fs::DirEntry: Send) && is!(OpenOptions: Send));
}

#[test]
fn reads_writes_and_seeks_as_std_does() {
    in_task(|folder| {
        let path = folder.path("a");
        let mut file = File::create_new(&path).unwrap();
        assert_eq!(
            File::create_new(&path).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        file.write_all(b"one\ntwo\nthree\n").unwrap();
        file.flush().unwrap();
        assert_eq!(file.stream_position().unwrap(), 14);
        assert_eq!(file.seek(SeekFrom::Start(4)).unwrap(), 4);
        let mut three = [0; 3];
        file.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"two");
        let mut rest = b"rest:".to_vec();
        assert_eq!(file.read_to_end(&mut rest).unwrap(), 7);
        assert_eq!(rest, b"rest:\nthree\n");
        assert_eq!(file.read(&mut three).unwrap(), 0);
        file.rewind().unwrap();
        let lines: Vec<_> = BufReader::new(&file).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(file.seek(SeekFrom::End(-6)).unwrap(), 8);
        let mut text = String::from(">");
        assert_eq!((&file).read_to_string(&mut text).unwrap(), 6);
        assert_eq!(text, ">three\n");
        file.write_all(b"\xff").unwrap();
        file.rewind().unwrap();
        let mut kept = String::from("kept");
        let bad = file.read_to_string(&mut kept).unwrap_err();
        assert_eq!(
            (bad.kind(), kept.as_str()),
            (ErrorKind::InvalidData, "kept")
        );
        let missing = File::open(folder.path("b")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.raw_os_error().is_some());
    });
}

#[test]
fn one_call_moves_a_chunk_at_most_and_all_moves_all() {
    in_task(|folder| {
        let big: Vec<u8> = (0..CHUNK * 2 + 100).map(|n| n as u8).collect();
        let path = folder.path("big");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .open(&path)
            .unwrap();
        assert_eq!(file.write(&big).unwrap(), CHUNK);
        file.write_all(&big[CHUNK..]).unwrap();
        assert_eq!(std_fs::read(&path).unwrap(), big);
        file.rewind().unwrap();
        let mut back = vec![0; big.len()];
        assert_eq!(file.read(&mut back).unwrap(), CHUNK);
        file.read_exact(&mut back[CHUNK..]).unwrap();
        assert_eq!(back, big);
        // After a long one the buffer holds more than a short one asks for.
        file.rewind().unwrap();
        let mut few = [0; 5];
        assert_eq!(file.read(&mut few).unwrap(), 5);
        assert_eq!(few[..], big[..5]);
    });
}

#[test]
fn reads_and_writes_at_a_place_leave_the_position_alone() {
    in_task(|folder| {
        let file = File::create_new(folder.path("at")).unwrap();
        (&file).write_all(b"0123456789").unwrap();
        file.write_all_at(b"XY", 3).unwrap();
        let mut buf = [0; 4];
        file.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(&buf, b"2XY5");
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!((&file).stream_position().unwrap(), 10);
    });
}

#[test]
fn what_a_file_is_can_be_asked_and_changed() {
    in_task(|folder| {
        let path = folder.path("meta");
        let file = File::create(&path).unwrap();
        file.set_len(100).unwrap();
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100);
        let mut permissions = file.metadata().unwrap().permissions();
        permissions.set_mode(0o640);
        file.set_permissions(permissions.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        permissions.set_mode(0o600);
        fs::set_permissions(&path, permissions).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        file.set_modified(then).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), then);
        let times = FileTimes::new().set_accessed(then).set_modified(then);
        file.set_times(times).unwrap();
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), then);
    });
}

#[test]
fn options_are_stds() {
    in_task(|folder| {
        let path = folder.path("opt");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = options.open(&path).unwrap();
        (&file).write_all(b"a").unwrap();
        (&options.clone().open(&path).unwrap())
            .write_all(b"b")
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ab");
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        let nofollow = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&path);
        assert_eq!(nofollow.unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        let none = OpenOptions::new().open(&path).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn handles_are_cloned_and_converted() {
    in_task(|folder| {
        let path = folder.path("fd");
        let file = File::create_new(&path).unwrap();
        let clone = file.try_clone().unwrap();
        (&file).write_all(b"12").unwrap();
        assert_eq!((&clone).stream_position().unwrap(), 2, "one position");
        let number = file.as_raw_fd();
        let std = std_fs::File::try_from(file).unwrap();
        assert_eq!(std.as_raw_fd(), number, "nobody else uses it");
        let again = File::from(std);
        assert!(format!("{again:?}").contains("fd"));
        let fd = OwnedFd::try_from(again).unwrap();
        (&File::from(fd)).write_all(b"3").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "123");
    });
}

#[test]
fn functions_on_paths_do_what_stds_do() {
    in_task(|folder| {
        let (a, b, c) = (folder.path("a"), folder.path("b"), folder.path("c"));
        fs::write(&a, "text").unwrap();
        assert_eq!(fs::copy(&a, &b).unwrap(), 4);
        fs::rename(&b, &c).unwrap();
        assert!(fs::exists(&c).unwrap() && !fs::exists(&b).unwrap());
        fs::hard_link(&c, &b).unwrap();
        assert_eq!(fs::metadata(&c).unwrap().nlink(), 2);
        std::os::unix::fs::symlink(&a, folder.path("link")).unwrap();
        assert_eq!(fs::read_link(folder.path("link")).unwrap(), a);
        assert!(
            fs::symlink_metadata(folder.path("link"))
                .unwrap()
                .is_symlink()
        );
        let real = fs::canonicalize(folder.path("link")).unwrap();
        assert_eq!(real, std_fs::canonicalize(&a).unwrap());
        fs::remove_file(&b).unwrap();
        assert_eq!(fs::remove_file(&b).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(folder.path("d")).unwrap();
        fs::create_dir_all(folder.path("d/e/f")).unwrap();
        assert!(fs::remove_dir(folder.path("d")).is_err());
        fs::remove_dir(folder.path("d/e/f")).unwrap();
        fs::remove_dir_all(folder.path("d")).unwrap();
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        assert!(builder.create(folder.path("x/y")).is_err());
        builder.recursive(true).create(folder.path("x/y")).unwrap();
        assert_eq!(
            fs::metadata(folder.path("x/y")).unwrap().mode() & 0o777,
            0o700
        );
    });
}

#[test]
fn folders_are_read_to_their_end() {
    in_task(|folder| {
        // More than are read ahead at once, and exactly so many.
        for n in [0, 1, 64, 65, 200] {
            let dir = folder.path(&n.to_string());
            std_fs::create_dir(&dir).unwrap();
            for i in 0..n {
                std_fs::write(dir.join(i.to_string()), "").unwrap();
            }
            let mut names: Vec<usize> = fs::read_dir(&dir)
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    assert!(entry.file_type().unwrap().is_file());
                    assert_eq!(entry.metadata().unwrap().ino(), entry.ino());
                    assert_eq!(entry.path(), dir.join(entry.file_name()));
                    entry.file_name().to_str().unwrap().parse().unwrap()
                })
                .collect();
            names.sort_unstable();
            assert_eq!(names, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(
            fs::read_dir(folder.path("none")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn other_tasks_run_while_a_call_blocks() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    fifo(&pipe);
    let log = Rc::new(RefCell::new(Vec::new()));
    let (theirs, path) = (Rc::clone(&log), pipe.clone());
    let reader = spawn(move || {
        theirs.borrow_mut().push("opens");
        // Blocks until there is a writer.
        let text = fs::read_to_string(&path).unwrap();
        theirs.borrow_mut().push("has read");
        text
    });
    let theirs = Rc::clone(&log);
    let writer = spawn(move || {
        theirs.borrow_mut().push("runs");
        fs::write(&pipe, "through").unwrap();
    });
    assert_eq!(reader.join().unwrap(), "through");
    writer.join().unwrap();
    assert_eq!(*log.borrow(), ["opens", "runs", "has read"]);
}

#[test]
fn a_read_that_is_broken_off_abandons_its_buffer_and_the_file_works_on() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    fifo(&pipe);
    let open = |path: &Path| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    };
    let file = Rc::new(open(&pipe));
    let theirs = Rc::clone(&file);
    let reader = spawn(move || {
        let mut buf = [0; 4];
        let n = (&*theirs).read(&mut buf).unwrap();
        unreachable!("{n} bytes came to one who was killed");
    });
    settle();
    reader.kill();
    assert!(matches!(reader.join(), Err(JoinError::Killed)));
    let late = timeout(Duration::from_millis(1), || (&*file).read(&mut [0; 4]));
    let error = late.unwrap_err().into_value().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<TimeoutElapsed>());
    // The file is in use by both calls still, so this is a duplicate.
    let number = file.as_raw_fd();
    let file = Rc::into_inner(file).unwrap();
    let std = std_fs::File::try_from(file).unwrap();
    assert_ne!(std.as_raw_fd(), number);
    // They get what comes first; then it is the caller's again.
    let file = File::from(std);
    (&file).write_all(b"abandoned").unwrap();
    // Each took four at most; what is left, and more, is read here.
    let task = spawn(move || {
        (&file).write_all(&[b'x'; 100]).unwrap();
        let mut buf = [0; 100];
        (&file).read_exact(&mut buf).unwrap();
        buf.ends_with(b"x")
    });
    assert!(task.join().unwrap());
}

#[test]
fn a_call_that_never_got_a_thread_is_abandoned_too() {
    util::alone("a_call_that_never_got_a_thread_is_abandoned_too", || {
        let folder = Folder::new();
        let path = folder.path("later");
        ThreadPool::builder(1).install_default().unwrap();
        let (hold, held) = mpsc::channel::<()>();
        drop(default_pool().spawn(move || held.recv()).unwrap());
        let theirs = path.clone();
        let task = spawn(move || fs::write(&theirs, "written all the same"));
        yield_now();
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
        assert!(!path.exists());
        drop(hold);
        default_pool().join();
        assert_eq!(
            std_fs::read_to_string(&path).unwrap(),
            "written all the same"
        );

        default_pool().terminate();
        let error = fs::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(error.to_string(), "the pool ended before the job began");
    });
}

#[test]
fn locks_are_waited_for_without_a_thread_and_never_kept_for_nobody() {
    util::alone(
        "locks_are_waited_for_without_a_thread_and_never_kept_for_nobody",
        || {
            // With one thread for all: a wait that kept it would keep the lock's holder from letting go.
            ThreadPool::builder(1).install_default().unwrap();
            let folder = Folder::new();
            let path = folder.path("lock");
            let open = |path: &Path| {
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .open(path)
                    .unwrap()
            };
            let file = open(&path);
            file.lock().unwrap();
            let second = open(&path);
            assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
            assert!(matches!(
                second.try_lock_shared(),
                Err(TryLockError::WouldBlock)
            ));
            let waits = {
                let path = path.clone();
                move || {
                    let mine = OpenOptions::new().write(true).open(&path).unwrap();
                    mine.lock().unwrap();
                    mine
                }
            };
            let killed = spawn(waits.clone());
            let next = spawn(move || drop(waits()));
            settle();
            killed.kill();
            assert!(matches!(killed.join(), Err(JoinError::Killed)));
            let late = timeout(Duration::from_millis(1), || second.lock());
            let error = late.unwrap_err().into_value().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            file.unlock().unwrap();
            next.join().unwrap();
            second.lock_shared().unwrap();
            file.lock_shared().unwrap();
            drop(file);
            second.lock().unwrap();
        },
    );
}

#[test]
fn who_unwinds_gets_an_error() {
    struct Reads(mpsc::Sender<std::io::Error>);
    impl Drop for Reads {
        fn drop(&mut self) {
            self.0
                .send(fs::read("/proc/self/comm").unwrap_err())
                .unwrap();
        }
    }
    let (tx, rx) = mpsc::channel();
    let task = spawn(move || {
        let _guard = Reads(tx);
        panic!("on purpose");
    });
    assert!(task.join().unwrap_err().is_panic());
    assert!(rx.recv().unwrap().get_ref().unwrap().is::<Unwinding>());
}

#[test]
fn it_works_on_plain_threads_and_from_a_crowd() {
    let folder = Folder::new();
    let path = folder.path("crowd");
    std::thread::scope(|s| {
        let written = s.spawn(|| fs::write(&path, "plain"));
        written.join().unwrap().unwrap();
    });
    let file = std::sync::Arc::new(File::open(&path).unwrap());
    sharing::crowd(2, 10, 2, move |_| {
        let mut buf = [0; 5];
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"plain");
    });
}

#[test]
fn a_symbolic_link_is_made_and_belongs_to_somebody() {
    in_task(|folder| {
        let link = folder.path("link");
        fs::symlink("nowhere", &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("nowhere"));
        assert!(!fs::exists(&link).unwrap());
        let again = fs::symlink("elsewhere", &link).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);

        // To the same: others take privileges.
        let owner = fs::symlink_metadata(&link).unwrap();
        let (uid, gid) = (Some(owner.uid()), Some(owner.gid()));
        fs::lchown(&link, uid, gid).unwrap();
        let followed = fs::chown(&link, uid, None).unwrap_err();
        assert_eq!(followed.kind(), ErrorKind::NotFound);
        fs::write(folder.path("nowhere"), "").unwrap();
        fs::chown(&link, None, gid).unwrap();
    });
}

#[test]
fn a_file_is_made_from_a_descriptor_and_given_to_a_child() {
    in_task(|folder| {
        let path = folder.path("a");
        let raw = std_fs::File::create(&path).unwrap().into_raw_fd();
        // SAFETY: just opened, and nobody else's.
        let file = unsafe { File::from_raw_fd(raw) };
        assert_eq!(file.as_raw_fd(), raw);
        (&file).write_all(b"from here, ").unwrap();
        let mut echo = greenloom::process::Command::new("echo");
        echo.arg("from there")
            .stdout(Stdio::try_from(file).unwrap());
        assert!(echo.status().unwrap().success());
        // The command has it still.
        drop(echo);
        assert_eq!(
            std_fs::read_to_string(&path).unwrap(),
            "from here, from there\n"
        );
    });
}
