//! `cargo xtask deb`: a Debian package of this checkout, by dpkg-deb.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Where everything of the installation is (`SAFE`).
const SAFE: &str = "opt/holdfast";
const DOC: &str = "usr/share/doc/holdfast";
/// What makes an application see a virtual host name.
const VHOST_LIBRARY: &str = "libhf_vhost.so";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What `cargo xtask deb` is asked for.
#[derive(clap::Args)]
pub struct Options {
    /// Cargo's profile.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Packages what was built before.
    #[arg(long)]
    no_build: bool,
    /// Where the package goes; by default the profile's directory in target/.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Builds the binary, puts the tree together, packs it; the package's path.
pub fn make(root: &Path, options: &Options) -> anyhow::Result<PathBuf> {
    if !options.no_build {
        super::cargo(&["build", "--locked", "--profile", &options.profile, "-p", "holdfast", "-p", "hf-vhost"])?;
    }
    let built = root.join("target").join(&options.profile);
    let binary = built.join("holdfast");
    for file in [&binary, &built.join(VHOST_LIBRARY)] {
        ensure!(file.exists(), "{} is not built: leave --no-build out", file.display());
    }
    let stage = built.join("deb");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("can't clear {}", stage.display()))?;
    }
    install(root, &binary, &stage)?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    control(root, &stage, &architecture)?;
    let out = options.out.as_deref().unwrap_or(&built);
    let package = out.join(format!("holdfast_{}_{architecture}.deb", env!("CARGO_PKG_VERSION")));
    let packed = &mut Command::new("dpkg-deb");
    output(packed.args(["--build", "--root-owner-group", "-Zxz", "-z1"]).arg(&stage).arg(&package))?;
    Ok(package)
}

fn install(root: &Path, binary: &Path, stage: &Path) -> anyhow::Result<()> {
    let safe = stage.join(SAFE);
    copy(binary, &safe.join("holdfast"), 0o755)?;
    // What a debugger needs is four fifths of the file.
    strip(&safe.join("holdfast"))?;
    let library = safe.join("private/lib").join(VHOST_LIBRARY);
    copy(&binary.with_file_name(VHOST_LIBRARY), &library, 0o644)?;
    strip(&library)?;
    for rules in entries(&root.join("crates/hf-config/include"))? {
        let Some(name) = rules.file_name() else { continue };
        copy(&rules, &safe.join("private/conf/include").join(name), 0o644)?;
    }
    link("holdfast", &safe.join("safekit"))?;
    for name in ["holdfast", "safekit"] {
        link(&format!("/{SAFE}/{name}"), &stage.join("usr/bin").join(name))?;
    }
    for module in entries(&root.join("packages"))? {
        let Some(name) = module.file_name().and_then(|name| name.to_str()) else { continue };
        let packed = safe.join(format!("Application_Modules/{name}.safe"));
        parent(&packed)?;
        output(Command::new(binary).args(["module", "package", "--from"]).arg(&module).arg(&packed))?;
        mode(&packed, 0o644)?;
    }
    copy(&root.join("packaging/holdfast.service"), &stage.join("lib/systemd/system/holdfast.service"), 0o644)?;
    let doc = stage.join(DOC);
    copy(&root.join("packaging/debian/copyright"), &doc.join("copyright"), 0o644)?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
        copy(&root.join(name), &doc.join(name), 0o644)?;
    }
    manual(binary, stage)?;
    pages(&root.join("docs/user"), &doc.join("user"))
}

/// A folder of documentation, with the folders in it.
fn pages(from: &Path, to: &Path) -> anyhow::Result<()> {
    for page in entries(from)? {
        let Some(name) = page.file_name() else { continue };
        let to = to.join(name);
        if page.is_dir() { pages(&page, &to)? } else { copy(&page, &to, 0o644)? }
    }
    Ok(())
}

fn strip(file: &Path) -> anyhow::Result<()> {
    output(Command::new("strip").arg("--strip-debug").arg(file)).map(drop)
}

/// Manual pages and the shells' completions, as the binary writes them.
fn manual(binary: &Path, stage: &Path) -> anyhow::Result<()> {
    let pages = stage.join("usr/share/man/man1");
    fs::create_dir_all(&pages).with_context(|| format!("can't make {}", pages.display()))?;
    output(Command::new(binary).arg("man-pages").arg(&pages))?;
    for page in entries(&pages)? {
        output(Command::new("gzip").args(["--best", "--no-name"]).arg(&page))?;
    }
    for (shell, file) in [
        ("bash", "bash-completion/completions/holdfast"),
        ("zsh", "zsh/vendor-completions/_holdfast"),
        ("fish", "fish/vendor_completions.d/holdfast.fish"),
    ] {
        let text = output(Command::new(binary).args(["completions", shell]))?;
        write(&stage.join("usr/share").join(file), &(text + "\n"), 0o644)?;
    }
    Ok(())
}

fn control(root: &Path, stage: &Path, architecture: &str) -> anyhow::Result<()> {
    let debian = root.join("packaging/debian");
    let template = fs::read_to_string(debian.join("control")).context("can't read packaging/debian/control")?;
    let text = template
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@ARCHITECTURE@", architecture)
        .replace("@DEPENDS@", &libraries(stage)?)
        .replace("@SIZE@", &(size(stage)? / 1024).to_string());
    write(&stage.join("DEBIAN/control"), &text, 0o644)?;
    SCRIPTS.iter().try_for_each(|name| copy(&debian.join(name), &stage.join("DEBIAN").join(name), 0o755))
}

/// The packages of the shared libraries that the binary is linked with, by dpkg-shlibdeps, which wants a source tree around it.
fn libraries(stage: &Path) -> anyhow::Result<String> {
    let source = stage.with_extension("source");
    write(&source.join("debian/control"), "Source: holdfast\n\nPackage: holdfast\nArchitecture: any\n", 0o644)?;
    let binary = stage.join(SAFE).join("holdfast");
    let said = output(Command::new("dpkg-shlibdeps").arg("-O").arg(&binary).current_dir(&source))?;
    fs::remove_dir_all(&source).with_context(|| format!("can't remove {}", source.display()))?;
    let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).with_context(|| format!("dpkg-shlibdeps found no library: {said:?}"))
}

/// Bytes of all files below.
fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in entries(dir)? {
        let metadata = fs::symlink_metadata(&entry).with_context(|| format!("can't look at {}", entry.display()))?;
        sum += if metadata.is_dir() { size(&entry)? } else { metadata.len() };
    }
    Ok(sum)
}

fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = || format!("can't list {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(what)? {
        paths.push(entry.with_context(what)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn copy(from: &Path, to: &Path, bits: u32) -> anyhow::Result<()> {
    parent(to)?;
    fs::copy(from, to).with_context(|| format!("can't copy {} to {}", from.display(), to.display()))?;
    mode(to, bits)
}

fn write(path: &Path, text: &str, bits: u32) -> anyhow::Result<()> {
    parent(path)?;
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    mode(path, bits)
}

fn link(to: &str, path: &Path) -> anyhow::Result<()> {
    parent(path)?;
    symlink(to, path).with_context(|| format!("can't make {}", path.display()))
}

fn parent(path: &Path) -> anyhow::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))
}

fn mode(path: &Path, bits: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("can't set the mode of {}", path.display()))
}

/// What a tool printed, without the last newline.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output =
        command.output().with_context(|| format!("can't run {shown} (Debian packages dpkg, dpkg-dev, binutils)"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
