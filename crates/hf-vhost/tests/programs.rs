//! Real programs with the library preloaded.

use std::path::PathBuf;
use std::process::Command;

/// Cargo puts the library beside the tests that need it.
fn library() -> PathBuf {
    let here = std::env::current_exe().expect("a test knows its program");
    let library = here.parent().expect("it lies in a directory").join("libhf_vhost.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

fn said(program: &str, args: &[&str], name: Option<&str>) -> String {
    let mut command = Command::new(program);
    command.args(args).env("LD_PRELOAD", library()).env_remove("HOLDFAST_HOSTNAME");
    if let Some(name) = name {
        command.env("HOLDFAST_HOSTNAME", name);
    }
    let output = command.output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("preload"), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn real(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn hostname_and_uname_say_the_virtual_name() {
    assert_eq!(said("hostname", &[], Some("virtualname")), "virtualname");
    assert_eq!(said("uname", &["-n"], Some("virtualname")), "virtualname");
    assert_eq!(said("uname", &["-srvm"], Some("virtualname")), real("uname", &["-srvm"]));
}

#[test]
fn children_see_it_too() {
    assert_eq!(said("sh", &["-c", "echo $(sh -c 'uname -n')"], Some("db.example.org")), "db.example.org");
}

#[test]
fn without_a_good_name_everything_is_as_ever() {
    let own = real("uname", &["-n"]);
    let too_long = "x".repeat(65);
    for name in [None, Some(""), Some(too_long.as_str())] {
        assert_eq!(said("uname", &["-n"], name), own, "{name:?}");
        assert_eq!(said("hostname", &[], name), real("hostname", &[]), "{name:?}");
    }
}

#[test]
fn the_longest_name_fits() {
    let longest = "y".repeat(64);
    assert_eq!(said("uname", &["-n"], Some(&longest)), longest);
    assert_eq!(said("hostname", &[], Some(&longest)), longest);
}

/// The other half of [`a_small_buffer_gets_what_fits`]: runs in a process with the library.
#[test]
#[ignore = "run by a_small_buffer_gets_what_fits"]
fn asks_with_small_buffers() {
    for size in [0_usize, 3, 4, 5] {
        let mut buffer = [b'#'; 8];
        // SAFETY: the buffer is larger than said.
        let done = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), size) };
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
        println!(
            "answer {size} {done} {} {}",
            if done == 0 { 0 } else { error },
            String::from_utf8_lossy(&buffer).replace('\0', ".")
        );
    }
    // SAFETY: the kernel refuses an address that isn't there.
    let done = unsafe { libc::uname(std::ptr::null_mut()) };
    println!("answer null {done} {}", std::io::Error::last_os_error().raw_os_error().unwrap_or_default());
}

#[test]
fn a_small_buffer_gets_what_fits() {
    let me = std::env::current_exe().expect("a test knows its program");
    let me = me.to_str().expect("a plain path");
    let out = said(me, &["--ignored", "--nocapture", "--exact", "asks_with_small_buffers"], Some("name"));
    let answers: Vec<&str> = out.lines().filter_map(|line| line.split_once("answer ")).map(|(_, rest)| rest).collect();
    let (long, fault) = (libc::ENAMETOOLONG, libc::EFAULT);
    assert_eq!(
        answers,
        [
            format!("0 -1 {long} ########"),
            format!("3 -1 {long} nam#####"),
            format!("4 -1 {long} name####"),
            "5 0 0 name.###".to_owned(),
            format!("null -1 {fault}"),
        ]
    );
}
