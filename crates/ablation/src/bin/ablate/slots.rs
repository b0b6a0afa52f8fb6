//! How many cells this machine runs at a time.

use std::{fs, path::Path};

use ablation::{Error, config::Device, plan::Plan};

/// Share of the free memory that workers may take.
const SHARE: f64 = 0.8;

/// As many workers as this machine has room for.
pub(crate) fn jobs(plan: &Plan, cards: &[String]) -> Result<usize, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    fit(plan, cores, free_memory(), cards.len())
}

/// As many workers as there are cores for their threads and free bytes for the largest cell; with cards, one on each.
fn fit(plan: &Plan, cores: usize, memory: Option<f64>, cards: usize) -> Result<usize, Error> {
    if 0 < cards {
        return Ok(cards);
    }
    let of_claims = plan.claim_arms().map(|arm| arm.config.threads());
    let threads = plan.arms().map(|arm| arm.config.numerics.threads);
    let threads = threads.chain(of_claims).max();
    let by_cores = cores / threads.unwrap_or(1).max(1) as usize;
    let bytes = plan.bytes()?;
    let by_memory = memory.map_or(cores, |free| (SHARE * free / bytes) as usize);
    Ok(by_cores.min(by_memory).max(1))
}

/// Names of this machine's graphics cards, if the plan is for them.
pub(crate) fn cards(plan: &Plan) -> Vec<String> {
    let of_claims = plan.claim_arms().map(|arm| arm.config.device());
    let mut devices = plan
        .arms()
        .map(|arm| arm.config.numerics.device)
        .chain(of_claims);
    if devices.all(|device| device == Device::Cpu) {
        return Vec::new();
    }
    let shown = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    names(shown.as_deref(), |card| {
        Path::new(&format!("/dev/nvidia{card}")).exists()
    })
}

/// The cards that the environment shows, else all that there are.
fn names(shown: Option<&str>, exists: impl Fn(&usize) -> bool) -> Vec<String> {
    let Some(shown) = shown else {
        let all = (0..).take_while(exists);
        return all.map(|card| card.to_string()).collect();
    };
    let names = shown.split(',').map(str::trim);
    // CUDA reads no further than a number below 0.
    names
        .take_while(|name| !name.starts_with('-'))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Bytes, where the system says: what the machine has free, or what a container or a job leaves of its limit.
fn free_memory() -> Option<f64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = read("/proc/self/cgroup");
    let in_groups = left_by_groups(Path::new("/sys/fs/cgroup"), &own);
    let of_machine = of_machine(&read("/proc/meminfo"));
    of_machine.into_iter().chain(in_groups).reduce(f64::min)
}

/// What `/proc/meminfo` says is available.
fn of_machine(text: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024.0 * kilobytes)
}

/// The least that is left below a limit of the control groups of `own`, which is `/proc/self/cgroup`, and of those above
/// them; `None` where there is no limit. In a container they are seen from its own root.
fn left_by_groups(mounted: &Path, own: &str) -> Option<f64> {
    let left = own.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap_or_default();
        let path = fields.next().unwrap_or_default().trim_start_matches('/');
        // Of the second version there is one tree, of the first one for memory.
        let (tree, limit, used, idle) = if controllers.is_empty() {
            let tree = mounted.to_owned();
            (tree, "memory.max", "memory.current", "inactive_file")
        } else if controllers.split(',').any(|name| name == "memory") {
            let tree = mounted.join("memory");
            let names = ("memory.limit_in_bytes", "memory.usage_in_bytes");
            (tree, names.0, names.1, "total_inactive_file")
        } else {
            return Vec::new();
        };
        let groups = Path::new(path).ancestors().map(|group| tree.join(group));
        let left = groups.filter_map(|group| {
            let read = |name: &str| fs::read_to_string(group.join(name)).ok();
            let number = |text: String| text.trim().parse::<f64>().ok();
            let (limit, used) = (number(read(limit)?)?, number(read(used)?)?);
            // Files that were read count as used, and make way.
            let counts = read("memory.stat").unwrap_or_default();
            let idle = counts.lines().find_map(|line| {
                let (name, bytes) = line.split_once(' ')?;
                (name == idle).then(|| number(bytes.to_owned()))?
            });
            Some((limit - (used - idle.unwrap_or(0.0)).max(0.0)).max(0.0))
        });
        left.collect()
    });
    left.reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use ablation::{plan::Overrides, study};
    use tempfile::tempdir;

    use super::*;

    const EXACT: &str = include_str!("../../../tests/common/exact.toml");
    const GIGABYTE: f64 = 1e9;

    /// The plan of a study of small cells, with pieces of its text replaced.
    fn plan(changes: &[(&str, &str)]) -> Plan {
        let mut text = EXACT.to_owned();
        for (from, to) in changes {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        }
        let folder = tempdir().expect("a temporary folder");
        let path = folder.path().join("study.toml");
        fs::write(&path, text).expect("a study");
        let study = study::load(path.to_str().expect("text")).expect("it reads");
        Plan::resolve(study, &Overrides::default()).expect("it is sound")
    }

    #[test]
    fn cores_memory_and_cards_say_how_many() {
        let small = plan(&[]);
        let of_three = plan(&[("threads = 1", "threads = 3")]);
        let gigabytes = |count: f64| Some(count * GIGABYTE);
        // A worker on a cell without a network takes 0.3 GB, and workers get four fifths of what is free.
        for (plan, cores, memory, cards, wanted) in [
            (&small, 8, None, 0, 8),
            (&small, 1, None, 0, 1),
            (&small, 8, gigabytes(1.0), 0, 2),
            (&small, 8, gigabytes(1.2), 0, 3),
            (&small, 2, gigabytes(64.0), 0, 2),
            (&small, 8, gigabytes(0.1), 0, 1),
            (&of_three, 8, None, 0, 2),
            (&of_three, 9, None, 0, 3),
            (&of_three, 2, None, 0, 1),
            (&of_three, 12, gigabytes(1.2), 0, 3),
            (&of_three, 2, gigabytes(0.1), 4, 4),
            (&small, 8, None, 1, 1),
        ] {
            let found = fit(plan, cores, memory, cards).expect("networks can be built");
            assert_eq!(found, wanted, "{cores} cores, {memory:?}, {cards} cards");
        }
    }

    #[test]
    fn a_large_cell_leaves_room_for_few() {
        let network = "network = { kind = \"exact\" }";
        let large = plan(&[(
            network,
            "network = { kind = \"mlp\", width = 2048, blocks = 8, activation = \"silu\", short = \"none\", \
             init = \"pytorch\" }",
        )]);
        let parameters = large.arms().map(|arm| arm.parameters).max();
        // Weights, gradients and two moments at the least, in single precision.
        let least = 4.0 * 4.0 * parameters.expect("an arm") as f64;
        let bytes = large.bytes().expect("it can be built");
        assert!(least < bytes && bytes < 4.0 * least, "{least} {bytes}");
        let jobs = |memory: f64| fit(&large, 64, Some(memory), 0).expect("it can be built");
        assert_eq!(jobs(3.5 * bytes / SHARE), 3);
        assert_eq!(jobs(0.5 * bytes / SHARE), 1);
        assert!(jobs(16.0 * GIGABYTE) < fit(&plan(&[]), 64, Some(16.0 * GIGABYTE), 0).expect("ok"));
    }

    #[test]
    fn cards_are_those_that_are_shown_or_all() {
        let there = |card: &usize| *card < 2;
        for (shown, wanted) in [
            (None, &["0", "1"][..]),
            (Some("3"), &["3"]),
            (Some("0,1"), &["0", "1"]),
            (Some(" 2, 0 ,"), &["2", "0"]),
            (Some("GPU-8932f937,MIG-1"), &["GPU-8932f937", "MIG-1"]),
            (Some(""), &[]),
            (Some("-1"), &[]),
            (Some("1,-1,0"), &["1"]),
        ] {
            assert_eq!(names(shown, there), wanted, "{shown:?}");
        }
        assert!(names(None, |_| false).is_empty());
    }

    #[test]
    fn the_machine_says_what_is_free() {
        let text = "MemTotal:       24684104 kB\nMemFree: 1 kB\nMemAvailable:   22008072 kB\n";
        assert_eq!(of_machine(text), Some(22_008_072.0 * 1024.0));
        assert_eq!(of_machine("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn the_tightest_group_counts_and_files_that_were_read_make_way() {
        let folder = tempdir().expect("a temporary folder");
        let root = folder.path();
        let group = |place: &str, files: &[(&str, &str)]| {
            let place = root.join(place);
            fs::create_dir_all(&place).expect("a folder");
            for (name, text) in files {
                fs::write(place.join(name), text).expect("a file");
            }
        };
        assert_eq!(left_by_groups(root, "0::/a/b\n"), None);
        group("a/b", &[("memory.max", "max\n"), ("memory.current", "5\n")]);
        assert_eq!(left_by_groups(root, "0::/a/b\n"), None, "no limit");
        group(
            "a",
            &[("memory.max", "1000\n"), ("memory.current", "700\n")],
        );
        assert_eq!(left_by_groups(root, "0::/a/b\n"), Some(300.0));
        group("a", &[("memory.stat", "anon 400\ninactive_file 250\n")]);
        assert_eq!(left_by_groups(root, "0::/a/b\n"), Some(550.0));
        // A container sees its own group as the root of all.
        group("", &[("memory.max", "400\n"), ("memory.current", "500\n")]);
        assert_eq!(left_by_groups(root, "0::/\n"), Some(0.0));
        // The first version has a tree for memory, and others that say nothing of it.
        let limit = ("memory.limit_in_bytes", "9000\n");
        let counts = ("memory.stat", "inactive_file 1\ntotal_inactive_file 20\n");
        group(
            "memory/job",
            &[limit, ("memory.usage_in_bytes", "120\n"), counts],
        );
        let first = "5:cpu,cpuacct:/\n4:hugetlb,memory:/job\n1:name=systemd:/\n";
        assert_eq!(left_by_groups(root, first), Some(8900.0));
    }
}
