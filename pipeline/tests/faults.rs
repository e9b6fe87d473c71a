//! Whatever stops a run, the next one resumes and ends with the bytes of an undisturbed run. Faults are kills and full
//! disks at any moment, and input that stalls. A byte that changes in any file is noticed.
//!
//! Each fault is tried a few times in every test run, and EBERT_FAULTS times when that is set. Run with `--nocapture`
//! to see the counts.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use schemas::Draws;
use support::{
    assert_same, contents, ebert, raw::raw_files_of_every_form, real_arguments, real_data, said, succeed, tries,
    workspace,
};

/// A run over the sample, or over the real files where they are, with several buckets.
struct Subject {
    name: &'static str,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    takes: Duration,
}

impl Subject {
    /// Runs undisturbed into `whole`.
    fn new(name: &'static str, arguments: Vec<String>) -> Self {
        let mut subject = Self { name, arguments, folder: tempfile::tempdir().unwrap(), takes: Duration::ZERO };
        let since = Instant::now();
        succeed(&mut subject.run("whole"));
        subject.takes = since.elapsed();
        subject
    }

    fn all() -> Vec<Self> {
        // Without noun phrases, which take most of the time.
        let fast = |mut arguments: Vec<String>| {
            arguments.extend(["--nouns".to_owned(), "off".to_owned()]);
            arguments
        };
        let real = real_data().map(|data| Self::new("real files", fast(real_arguments(&data))));
        std::iter::once(Self::new("sample", Vec::new())).chain(real).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, out: &str) -> Command {
        let mut command = ebert(["shards", "--bucket-mib", "1", "--mining-mib", "1"]);
        command.args(&self.arguments).arg("--out").arg(self.path(out));
        command
    }

    /// As [`Subject::run`], below a line of bash.
    fn run_below(&self, bash: &str, out: &str) -> Command {
        let run = self.run(out);
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{bash}\nexec \"$@\""), "bash"]).arg(run.get_program()).args(run.get_args());
        command.current_dir(workspace());
        command
    }

    /// Finishes what was disturbed and compares; a finished table must not be rebuilt.
    fn finish(&self, out: &str, what: &str) {
        let before = self.finished(out);
        succeed(&mut self.run(out));
        self.assert_kept(&before, out);
        assert_same(&self.path("whole"), &self.path(out), what);
    }

    /// The tables that are finished, with the times at which they were written.
    fn finished(&self, out: &str) -> BTreeMap<String, SystemTime> {
        let recorded = |name: &str| self.path(out).join(".made").join(format!("{name}.json")).exists();
        let mut times = self.times(out);
        // The tables of products are finished when the second one is.
        times.retain(|name, _| recorded(&name.replace("associations-", "products-")));
        times
    }

    fn times(&self, out: &str) -> BTreeMap<String, SystemTime> {
        let mut times = BTreeMap::new();
        for step in ["corpus", "shards"] {
            let Ok(entries) = fs::read_dir(self.path(out).join(step)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if let (true, Ok(time)) = (name.ends_with(".parquet"), entry.metadata().and_then(|m| m.modified())) {
                    times.insert(format!("{step}/{name}"), time);
                }
            }
        }
        times
    }

    fn assert_kept(&self, before: &BTreeMap<String, SystemTime>, out: &str) {
        let now = self.times(out);
        for (name, time) in before {
            assert_eq!(now.get(name), Some(time), "{}: `{name}` was rebuilt", self.name);
        }
    }
}

#[test]
fn killed_and_continued_gives_the_bytes_of_an_undisturbed_run() {
    for subject in Subject::all() {
        let (kills, mut stopped, mut finished) = (tries(6), 0, 0);
        let mut takes = subject.takes;
        for kill in 0..kills {
            // Later moments are reached by resuming: each run starts where the last one was stopped.
            let share = 0.02 + 0.6 * Draws::new(7, "kill", &kill.to_le_bytes()).unit();
            let before = subject.finished("killed");
            let mut child = subject.run("killed").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(takes.mul_f64(share));
            child.kill().unwrap();
            let in_time = !child.wait().unwrap().success();
            subject.assert_kept(&before, "killed");
            if in_time {
                stopped += 1;
            } else {
                // The undisturbed run was measured next to other tests.
                takes /= 2;
            }
            if !in_time || kill % 3 == 2 || kill + 1 == kills {
                // To the end; then from the start again, so that early moments are met, too.
                subject.finish("killed", "killed and continued");
                fs::remove_dir_all(subject.path("killed")).unwrap();
                finished += 1;
            }
        }
        println!("{}: {kills} SIGKILLs, {stopped} in time; {finished} runs finished with the same bytes", subject.name);
        assert!(stopped > kills / 4, "{}: {stopped} of {kills} runs were stopped", subject.name);
    }
}

#[test]
fn a_full_disk_is_said_and_gone_on_from() {
    for subject in Subject::all() {
        let largest = contents(&subject.path("whole")).values().map(Vec::len).max().unwrap() as f64 / 1024.0;
        let (faults, mut full) = (tries(4), 0);
        for fault in 0..faults {
            // A limit on the size of files stands for a full disk: it can be set anywhere. In units of 1,024 bytes.
            let limit = largest.powf(0.3 + 0.7 * Draws::new(7, "room", &fault.to_le_bytes()).unit()) as u64;
            let output = subject.run_below(&format!("ulimit -f {limit}"), "full").output().unwrap();
            let text = said(&output, &[]);
            let failed = text.starts_with("exit 1") && text.contains("free some disk space");
            assert!(failed || text.starts_with("exit 0"), "{}: {limit}: {text}", subject.name);
            full += u64::from(failed);
            subject.finish("full", &format!("{limit} KiB"));
            fs::remove_dir_all(subject.path("full")).unwrap();
        }
        println!("{}: {faults} limits, {full} met; all finished with the same bytes", subject.name);
        assert!(full > faults / 3);
    }
}

#[test]
fn a_small_mount_that_fills_up_is_said_and_gone_on_from() {
    let mount = |size: &str, what: &str| format!("mount -t tmpfs -o {what}size={size} tmpfs");
    let probe = format!("unshare --mount bash -c '{} /mnt'", mount("1m", ""));
    if !Command::new("bash").args(["-c", &probe]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    for subject in Subject::all() {
        let needs: usize = contents(&subject.path("whole")).values().map(Vec::len).sum();
        let (faults, mut full) = (tries(4), 0);
        for fault in 0..faults {
            let size = (needs as f64 * (0.02 + 1.2 * Draws::new(7, "mount", &fault.to_le_bytes()).unit())) as u64;
            fs::create_dir_all(subject.path("mounted")).unwrap();
            let (place, run) = (subject.path("mounted"), subject.run("mounted"));
            // Until it fails; then with room.
            let script = format!(
                "{} {place:?}\n\"$@\" 2>{log:?} && echo fitted\n{} {place:?}\n\"$@\" && cp -r {place:?} {copy:?}",
                mount(&size.to_string(), ""),
                mount("8g", "remount,"),
                log = subject.path("log"),
                copy = subject.path("copy"),
            );
            let mut command = Command::new("unshare");
            command.args(["--mount", "bash", "-c", &script, "bash"]).arg(run.get_program()).args(run.get_args());
            let fitted = succeed(command.current_dir(workspace())).contains("fitted");
            let log = fs::read_to_string(subject.path("log")).unwrap();
            assert!(fitted || log.contains("free some disk space"), "{}: {size} bytes: {log}", subject.name);
            full += u64::from(!fitted);
            assert_same(&subject.path("whole"), &subject.path("copy"), &format!("{size} bytes"));
            fs::remove_dir_all(subject.path("copy")).unwrap();
        }
        println!("{}: {faults} small mounts, {full} filled up; all finished with the same bytes", subject.name);
        assert!(full > 0);
    }
}

/// Raw files and lines that are in the spill files. `None` before the first checkpoint.
fn reading_position(out: &Path) -> Option<(bool, u64, u64)> {
    let checkpoint = fs::read(out.join("spill/checkpoint.json")).ok()?;
    let checkpoint: serde_json::Value = serde_json::from_slice(&checkpoint).unwrap();
    let number = |field: &str| checkpoint[field].as_u64().unwrap();
    Some((checkpoint["finished"].as_bool().unwrap(), number("files_done"), number("lines_done")))
}

#[test]
fn killed_while_reading_and_resumed_gives_the_bytes_of_an_undisturbed_run() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    raw_files_of_every_form(&raw);
    let run = |out: &str, checkpoint_mib: u64, threads: u64| {
        let mut command = ebert(["corpus", "--bucket-mib", "4", "--max-unreadable", "1", "--allow-damaged"]);
        command.args(["--checkpoint-mib", &checkpoint_mib.to_string(), "--threads", &threads.to_string()]);
        command.args(support::TOKENIZER).arg("--corpus").arg(&raw).arg("--out").arg(folder.path().join(out));
        command
    };
    succeed(&mut run("whole", 1024, 2));
    let (least, mut rounds, mut kills, mut places) = (tries(3), 0, 0, BTreeSet::new());
    let inside = |places: &BTreeSet<(bool, u64, u64)>| -> BTreeSet<u64> {
        places.iter().filter(|(_, _, lines)| *lines > 0).map(|(_, file, _)| *file).collect()
    };
    // On a busy machine, a run may read a file to its end before it is looked at.
    while rounds < least || rounds < least + 20 && inside(&places).len() < 5 {
        let round: u64 = rounds;
        rounds += 1;
        let out = folder.path().join("killed");
        let mut draws = Draws::new(7, "reading", &round.to_le_bytes());
        // With an interval of 3 MiB, more of the spill files is behind the checkpoint.
        let checkpoint_mib = 1 + 2 * (round % 2);
        let mut reached: Option<(bool, u64, u64)> = None;
        while !reached.is_some_and(|(finished, ..)| finished) {
            let threads = 1 + draws.below(3);
            let mut child =
                run("killed", checkpoint_mib, threads).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // The next checkpoint, and a moment more.
            while reading_position(&out) <= reached && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_micros(100));
            }
            thread::sleep(Duration::from_micros(draws.below(10_000)));
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            kills += 1;
            let position = reading_position(&out);
            assert!(position > reached, "{position:?} after {reached:?}: a run did not continue");
            places.extend(position);
            reached = position;
        }
        succeed(&mut run("killed", checkpoint_mib, 2));
        assert_same(&folder.path().join("whole"), &out, &format!("round {round}"));
        fs::remove_dir_all(&out).unwrap();
    }
    println!("{rounds} corpora, {kills} SIGKILLs at {} places of reading; all the same bytes", places.len());
    assert_eq!(inside(&places), BTreeSet::from([0, 1, 2, 3, 4]), "reading was stopped inside every file");
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the call takes numbers alone, and the process is a child that was not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// A run that is stopped (SIGSTOP) while it reads one of the first three raw files.
fn stop_in_an_early_file(out: &Path, run: impl Fn() -> Command) -> Child {
    // On a busy machine, a run may get further before it is looked at.
    for _ in 0..20 {
        let mut child = run().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while reading_position(out).is_none() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(100));
        }
        if child.try_wait().unwrap().is_none() {
            signal(&child, libc::SIGSTOP);
            if reading_position(out).is_some_and(|(_, file, _)| file < 3) {
                return child;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(out).unwrap();
    }
    panic!("no run was stopped early enough");
}

#[test]
fn a_raw_file_that_changes_while_it_is_read_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    raw_files_of_every_form(&raw);
    let run = |out: &str| {
        let mut command = ebert(["corpus", "--bucket-mib", "4", "--max-unreadable", "1", "--allow-damaged"]);
        command.args(["--checkpoint-mib", "1", "--threads", "1"]);
        command.args(support::TOKENIZER).arg("--corpus").arg(&raw).arg("--out").arg(folder.path().join(out));
        command
    };
    // The last file is hashed before reading begins, and read after the others.
    let last = raw.join("e.json");
    let append = || {
        let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
        file.write_all(b"\n{\"asin\": \"B0\", \"title\": \"A new kettle\", \"also_buy\": []}\n").unwrap();
    };
    let one_byte = || {
        let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
        let middle = file.metadata().unwrap().len() / 2;
        file.write_all_at(b"x", middle).unwrap();
    };
    let cut_short = || fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(1 << 20).unwrap();
    let replace = || {
        fs::write(folder.path().join("new"), "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n").unwrap();
        fs::rename(folder.path().join("new"), &last).unwrap();
    };
    let permissions = || fs::set_permissions(&last, fs::Permissions::from_mode(0o600)).unwrap();
    let same_bytes = || fs::write(&last, fs::read(&last).unwrap()).unwrap();
    let changes: [(&str, &dyn Fn(), bool); 6] = [
        ("appended to", &append, true),
        ("one byte", &one_byte, true),
        ("cut short", &cut_short, true),
        ("replaced", &replace, true),
        ("other permissions", &permissions, false),
        ("written again", &same_bytes, false),
    ];
    for (what, change, refused) in changes {
        let out = folder.path().join(what);
        let child = stop_in_an_early_file(&out, || run(what));
        change();
        signal(&child, libc::SIGCONT);
        let text = said(&child.wait_with_output().unwrap(), &[]);
        if refused {
            let message = format!("the raw file `{}` changed while it was being read", last.display());
            assert!(text.starts_with("exit 1") && text.contains(&message) && text.contains("hint:"), "{what}: {text}");
            assert!(!out.join("corpus/manifest.json").exists());
            succeed(&mut run(what));
        }
        assert!(refused || text.starts_with("exit 0"), "{what}: {text}");
        let fresh = format!("{what}, fresh");
        succeed(&mut run(&fresh));
        assert_same(&folder.path().join(&fresh), &out, what);
    }
}

/// A library that holds up one read of a raw file, that with number STALL_AT, for STALL_MS milliseconds.
const STALL: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
ssize_t read(int file, void *into, size_t size) {
    static ssize_t (*next)(int, void *, size_t);
    static long reads;
    char link[64], path[4096];
    if (!next) next = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if ((strstr(path, "/amazon/") || strstr(path, "/sample/"))
        && __sync_fetch_and_add(&reads, 1) == atol(getenv("STALL_AT")))
        usleep(1000 * atol(getenv("STALL_MS")));
    return next(file, into, size);
}
"#;

#[test]
fn input_that_stalls_changes_nothing() {
    for subject in Subject::all() {
        let library = subject.path("stall.so");
        fs::write(subject.path("stall.c"), STALL).unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &subject.path("stall.c")])
            .arg("-ldl")
            .status();
        if !built.is_ok_and(|s| s.success()) {
            eprintln!("skipped: no C compiler is there");
            return;
        }
        let (faults, mut stalled) = (tries(4), 0);
        for fault in 0..faults {
            let mut draws = Draws::new(7, "stall", &fault.to_le_bytes());
            // A real file is read in pieces of 128 KiB, the sample in few.
            let at = draws.below(if subject.name == "sample" { 12 } else { 150 });
            let since = Instant::now();
            let mut command = subject.run("stalled");
            command.env("LD_PRELOAD", &library).env("STALL_AT", at.to_string()).env("STALL_MS", "1500");
            if fault % 3 == 2 {
                // Killed while it waits.
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                thread::sleep(Duration::from_millis(900));
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                succeed(&mut command);
                stalled += u64::from(since.elapsed() > Duration::from_millis(1500));
            }
            subject.finish("stalled", &format!("stalled at read {at}"));
            fs::remove_dir_all(subject.path("stalled")).unwrap();
        }
        println!("{}: {faults} inputs, {stalled} stalled, a third killed; all the same bytes", subject.name);
        assert!(stalled > 0, "no read of a raw file was held up");
    }
}

#[test]
fn a_byte_that_changes_in_any_file_is_noticed() {
    for subject in Subject::all() {
        let out = subject.path("whole");
        let all = contents(&out);
        let (places, mut flips) = (tries(1), 0);
        // The real files give hundreds of tables; some of them, unless more is asked for.
        let step = if places == 1 && all.len() > 200 { 11 } else { 1 };
        let mut files: Vec<_> = all.iter().filter(|f| !f.0.starts_with('.') && !f.1.is_empty()).collect();
        let kept = |(i, f): (usize, &(&String, &Vec<u8>))| i % step == 0 || !f.0.contains("-0");
        files = files.iter().enumerate().filter(|f| kept((f.0, f.1))).map(|f| *f.1).collect();
        for (name, bytes) in &files {
            for place in 0..places {
                let mut draws = Draws::new(7, "flip", format!("{name} {place}").as_bytes());
                let at = draws.below(bytes.len() as u64) as usize;
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << draws.below(8);
                fs::write(out.join(name), changed).unwrap();
                let short = name.rsplit('/').next().unwrap();
                // By a command that checks all files, and at the first place by one that resumes from there.
                let verify = said(&ebert(["verify"]).arg(&out).output().unwrap(), &[]);
                let run = if place == 0 { said(&subject.run("whole").output().unwrap(), &[]) } else { verify.clone() };
                for text in [verify, run] {
                    assert!(
                        text.starts_with("exit 1") && text.contains(short) && text.contains("hint:"),
                        "{}: byte {at} of `{name}`: {text}",
                        subject.name
                    );
                }
                fs::write(out.join(name), bytes).unwrap();
                flips += 1;
            }
        }
        println!("{}: {flips} flipped bits in {} files, all noticed by name", subject.name, files.len());
    }
}
