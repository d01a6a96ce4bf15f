//! Makes cargo embed the SDK anew when a file is added to it: the embedding itself notices changed files only.

fn main() {
    for folder in ["../../sdk/rust", "../../sdk/rust-macros", "../../sdk/wit", "template"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
