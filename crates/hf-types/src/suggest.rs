//! "Did you mean ...": the nearest of the known names.

/// The known name nearest to what was written, if it is near enough to be a likely slip.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Beyond any real name; keeps the distance cheap whatever the file says.
    if written.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(far, name)| *far <= near_enough(name))
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// A third of the name may be wrong; names of two letters must be right.
fn near_enough(name: &str) -> usize {
    match name.len() {
        0..=2 => 0,
        length => (length / 3).max(1),
    }
}

/// Edit distance where swapping two neighbours counts as one slip.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(nearest("timout", ["timeout", "pulse"]), Some("timeout"));
        assert_eq!(nearest("Pulse", ["timeout", "pulse"]), Some("pulse"));
        assert_eq!(nearest("nmae", ["name", "addr"]), Some("name"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(nearest("banana", ["timeout", "pulse", "name"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["timeout"]), None);
    }
}
