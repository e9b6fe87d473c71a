//! INIT by a model's id: a hub of our own on this machine, which answers as the real one does.
mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use support::{Place, text_of};

/// Serves the files of one folder as the model `owner/tiny`, for as long as the test runs. Returns
/// the address.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&folder, &mut stream.unwrap());
        }
    });
    address
}

/// Answers one request for a file, or for a range of its bytes.
fn answer(folder: &Path, stream: &mut TcpStream) -> std::io::Result<()> {
    let lines: Vec<String> =
        BufReader::new(stream.try_clone()?).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines[0].split(' ').nth(1).unwrap_or_default();
    let private = path.strip_prefix("/owner/private/resolve/main/");
    if private.is_some() && !lines.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer secret")) {
        return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let public = ["main", "refs%2Fpr%2F1"]
        .iter()
        .find_map(|revision| path.strip_prefix("/owner/tiny/resolve/")?.strip_prefix(revision)?.strip_prefix('/'));
    let file = private.or(public).map(|name| folder.join(name));
    let Some(bytes) = file.and_then(|file| fs::read(file).ok()) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let range = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (first, last) = range.as_deref().and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap_or(0);
    let last = last.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{}\r\nETag: \"{}\"\r\n\
         X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nConnection: close\r\n\r\n",
        last + 1 - first,
        bytes.len(),
        path.rsplit('/').next().unwrap_or_default(),
    )?;
    stream.write_all(&bytes[first..=last])
}

#[test]
fn a_model_is_fetched_by_its_id_and_then_kept() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=2", "--set", "stage.1.steps=1"];
    let first = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let hub = serve(place.path("first/model"));
    let fetch = |id: &str, run: &str, hub: &str| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--init", id, "--out", run]);
        command.args(steps).env("HF_ENDPOINT", hub).env("HF_HOME", place.path("cache")).env_remove("HF_TOKEN");
        command.output().unwrap()
    };
    let unreachable = "http://127.0.0.1:9";

    let output = fetch("owner/tiny", "none", unreachable);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the hub cannot be reached\n  because: ") && text.contains("hint: download it where"),
        "{text}"
    );

    let output = fetch("owner/tiny", "second", &hub);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    // The fetched weights are those of the folder: what is measured first is the same.
    let last = place.metrics("first").pop().unwrap().replace("\"step\":3", "\"step\":0");
    assert_eq!(place.metrics("second")[0], last);

    let output = fetch("owner/tiny", "third", unreachable);
    assert_eq!(output.status.code(), Some(0), "it is in the cache: {}", text_of(&output));
    assert_eq!(place.metrics("third"), place.metrics("second"));

    let output = fetch("owner/large", "none", &hub);
    assert!(text_of(&output).contains("`owner/large` is neither a folder here nor a model on the hub"));
    fs::remove_file(place.path("first/model/model.safetensors")).unwrap();
    fs::remove_dir_all(place.path("cache")).unwrap();
    let output = fetch("owner/tiny", "none", &hub);
    assert!(text_of(&output).contains("has neither model.safetensors nor"), "{}", text_of(&output));
}

#[test]
fn private_models_and_other_revisions_are_fetched() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1"];
    let first = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let hub = serve(place.path("first/model"));
    let fetch = |id: &str, run: &str, token: Option<&str>| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--init", id, "--out", run]);
        command.args(steps).env("HF_ENDPOINT", &hub).env("HF_HOME", place.path("cache")).env_remove("HF_TOKEN");
        command.envs(token.map(|token| ("HF_TOKEN", token))).output().unwrap()
    };
    let output = fetch("owner/private", "none", None);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("a private one needs HF_TOKEN"), "{}", text_of(&output));
    let output = fetch("owner/private", "private", Some("secret"));
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let output = fetch("owner/tiny@refs/pr/1", "revision", None);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}
