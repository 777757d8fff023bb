//! The files of public collections: in a folder of the user, or fetched once into the cache.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::Split;

/// Four files that make a data set, and where they can be had.
pub(super) struct Collection {
    /// Its name, also that of its folder in the cache.
    pub(super) name: &'static str,
    mirror: &'static str,
    train: [RemoteFile; 2],
    test: [RemoteFile; 2],
}

/// A file that is only accepted with the right digest.
#[derive(Clone, Copy)]
pub(super) struct RemoteFile {
    name: &'static str,
    sha256: &'static str,
}

/// LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
pub(super) const MNIST: Collection = Collection {
    name: "mnist",
    mirror: "https://storage.googleapis.com/cvdf-datasets/mnist/",
    train: [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        },
    ],
    test: [
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ],
};

/// Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST", arXiv:1708.07747.
pub(super) const FASHION_MNIST: Collection = Collection {
    name: "fashion-mnist",
    mirror: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    train: [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        },
    ],
    test: [
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ],
};

impl Collection {
    /// Images and labels of one part.
    pub(super) fn files(&self, split: Split) -> [RemoteFile; 2] {
        match split {
            Split::Train => self.train,
            Split::Test => self.test,
        }
    }
}

/// Path of a verified file: in `data_dir` if given, else in the cache.
pub(super) fn locate(collection: &Collection, file: RemoteFile, data_dir: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = data_dir {
        let path = dir.join(file.name);
        ensure!(
            path.is_file(),
            "{} does not exist; {} needs its four original files",
            path.display(),
            collection.name
        );
        return Ok(path);
    }
    cached(collection, file, &cache_dir()?)
}

/// Path of a verified file below `cache`, downloaded if it is not there.
fn cached(collection: &Collection, file: RemoteFile, cache: &Path) -> Result<PathBuf> {
    let path = cache.join(collection.name).join(file.name);
    if !path.is_file() {
        let url = format!("{}{}", collection.mirror, file.name);
        let bytes = fetch(&url).with_context(|| {
            format!("downloading {url} (or put the file into a folder and name that with --data-dir)")
        })?;
        verify(&bytes, file).with_context(|| format!("downloading {url}"))?;
        store(&bytes, &path)?;
    }
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    verify(&bytes, file).with_context(|| format!("{} is damaged; delete it", path.display()))?;
    Ok(path)
}

fn cache_dir() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .or_else(|| variable("HOME").map(|home| home.join(".cache")));
    match cache {
        Some(cache) => Ok(cache.join("pocketgan")),
        None => {
            bail!("no cache folder: none of XDG_CACHE_HOME, LOCALAPPDATA and HOME is set; use --data-dir")
        }
    }
}

fn fetch(url: &str) -> Result<Vec<u8>> {
    // The largest file has 26 MB.
    const LIMIT: u64 = 64 << 20;
    let mut response = ureq::get(url).call()?;
    let mut bytes = vec![];
    response.body_mut().as_reader().take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn verify(bytes: &[u8], file: RemoteFile) -> Result<()> {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(digest == file.sha256, "{} has SHA-256 {digest}, expected {}", file.name, file.sha256);
    Ok(())
}

/// Writes the whole file or nothing.
fn store(bytes: &[u8], path: &Path) -> Result<()> {
    let dir = path.parent().context("a file lies in a folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let mut temporary =
        tempfile::NamedTempFile::new_in(dir).with_context(|| format!("writing in {}", dir.display()))?;
    temporary.write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
    temporary.persist(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: RemoteFile = RemoteFile {
        name: "abc",
        // FIPS 180-2, appendix B.1.
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    #[test]
    fn only_the_right_bytes_pass() {
        assert!(verify(b"abc", FILE).is_ok());
        assert!(verify(b"abd", FILE).is_err());
        assert!(verify(b"", FILE).is_err());
    }

    /// A mirror on this computer that answers so many requests with `body`.
    fn mirror(body: &'static str, requests: usize) -> (Collection, std::thread::JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}/", listener.local_addr().unwrap()).leak();
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                let mut request = vec![];
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                assert!(request.starts_with(b"GET /abc "), "{}", String::from_utf8_lossy(&request));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.write_all((head + body).as_bytes()).unwrap();
            }
        });
        (Collection { name: "local", mirror, train: [FILE; 2], test: [FILE; 2] }, server)
    }

    #[test]
    fn a_file_is_fetched_once_and_verified() {
        let dir = tempfile::tempdir().unwrap();
        let (collection, server) = mirror("abc", 1);
        let path = cached(&collection, FILE, dir.path()).unwrap();
        server.join().unwrap();
        assert_eq!(path, dir.path().join("local").join("abc"));
        // Nobody listens any longer.
        assert_eq!(cached(&collection, FILE, dir.path()).unwrap(), path);
        std::fs::write(&path, "abd").unwrap();
        let error = cached(&collection, FILE, dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("damaged; delete it"), "{error:#}");
    }

    #[test]
    fn a_wrong_file_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (collection, server) = mirror("something else", 1);
        let error = cached(&collection, FILE, dir.path()).unwrap_err();
        server.join().unwrap();
        assert!(format!("{error:#}").contains("SHA-256"), "{error:#}");
        assert!(!dir.path().join("local").exists());
        let error = cached(&collection, FILE, dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("--data-dir"), "{error:#}");
    }

    #[test]
    fn stores_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("file");
        store(b"abc", &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
    }
}
