//! Which path is which: one table, from which a service is both routed and described, so that the
//! two cannot differ.
//!
//! In: a path as it was sent. Out: its place in the table and the part that varies, still encoded.
//! Pure. Methods are judged behind it: a wrong one on a known path is a 405 and no 404.

/// Templates such as `/purchases/{user_id}`, each with what it leads to. At most one segment varies.
#[derive(Clone, Copy, Debug)]
pub struct Paths<T: 'static>(pub &'static [(&'static str, T)]);

/// A path that is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'p, T> {
    /// Its template.
    pub template: &'static str,
    /// What it leads to.
    pub place: T,
    /// The varying segment; empty where none varies.
    pub part: &'p str,
}

impl<T: Copy> Paths<T> {
    /// Looks a path up. One slash at its end changes nothing.
    pub fn find<'p>(&self, path: &'p str) -> Option<Found<'p, T>> {
        let path = trimmed(path);
        self.0.iter().find_map(|(template, place)| {
            let part = part(trimmed(template), path)?;
            Some(Found {
                template,
                place: *place,
                part,
            })
        })
    }

    /// The templates in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, T)> {
        self.0.iter().copied()
    }
}

/// What remains of a path below `/api`: an ingress may pass that on or strip it. Once, not twice.
pub fn below_api(path: &str) -> &str {
    match path.strip_prefix("/api") {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

fn trimmed(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.strip_suffix('/') {
        None | Some("") => path,
        Some(rest) => rest,
    }
}

/// The varying part of a path that fits the template; empty if nothing varies.
fn part<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let (mut want, mut have) = (template.split('/'), path.split('/'));
    let mut part = "";
    loop {
        match (want.next(), have.next()) {
            (None, None) => return Some(part),
            (Some(want), Some(have)) if want.starts_with('{') && !have.is_empty() => part = have,
            (Some(want), Some(have)) if want == have => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: Paths<u8> = Paths(&[
        ("/", 0),
        ("/items", 1),
        ("/users/{id}", 2),
        ("/stats/stream", 3),
    ]);

    fn find(path: &str) -> Option<(u8, &str)> {
        PATHS.find(path).map(|found| (found.place, found.part))
    }

    #[test]
    fn a_path_is_found_with_its_varying_part() {
        assert_eq!(find("/"), Some((0, "")));
        assert_eq!(find("/items"), Some((1, "")));
        assert_eq!(find("/items/"), Some((1, "")));
        assert_eq!(find("/users/a%2Fb"), Some((2, "a%2Fb")));
        assert_eq!(find("/stats/stream"), Some((3, "")));
    }

    #[test]
    fn anything_else_is_not_there() {
        for path in [
            "/item",
            "/items/1",
            "/users",
            "/users/",
            "/users//",
            "/users/a/b",
            "//",
            "//items",
            "/items//",
            "/stats",
            "*",
            "/Items",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn api_is_taken_off_once_and_as_a_whole() {
        assert_eq!(below_api("/api"), "/");
        assert_eq!(below_api("/api/items"), "/items");
        assert_eq!(below_api("/api/api/items"), "/api/items");
        assert_eq!(below_api("/apix/items"), "/apix/items");
        assert_eq!(below_api("/items"), "/items");
    }
}
