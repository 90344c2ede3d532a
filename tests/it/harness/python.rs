//! A real Python with real packages from the package index, installed once into `.test-cache/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PACKAGES: &[&str] = &["django==5.2.*", "gunicorn", "redis", "django-redis"];

/// The `bin` folder of an environment with Django 5.2, its cache in Redis and gunicorn. Several test processes may ask
/// at once; one installs.
pub(crate) fn django() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| environment("shop", PACKAGES))
}

fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test-cache");
    std::fs::create_dir_all(&cache).expect("a folder for what is downloaded");
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("a lock file");
    lock.lock().expect("the lock");
    let folder = cache.join(name);
    let done = folder.join("installed");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|there| there != wanted) || !done.exists() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder));
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages));
        std::fs::write(done, wanted).expect("a note");
    }
    folder.join("bin")
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
}
