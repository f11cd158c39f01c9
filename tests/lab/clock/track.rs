//! [`Track`]: how wrong a contestant was, ten times a second, on one seed.

/// One look at a contestant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Since the first question (s).
    pub(crate) since: f64,
    /// What it said less the truth [us]; infinite before it says anything.
    pub(crate) error: f64,
    /// Its standard error and its hard bound, if it publishes such [us].
    pub(crate) sigma: Option<f64>,
    pub(crate) bound: Option<f64>,
}

impl Point {
    /// It says nothing.
    pub(crate) fn silent(since: f64) -> Point {
        Point { since, error: f64::INFINITY, sigma: None, bound: None }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    pub(crate) points: Vec<Point>,
    /// How often it found the clock or the path changed.
    pub(crate) moves: u64,
}

impl Track {
    /// The looks between these (s since the first question).
    pub(crate) fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| (from..to).contains(&point.since))
    }

    /// Distances from the truth between these [us].
    pub(crate) fn errors(&self, from: f64, to: f64) -> Vec<f64> {
        self.between(from, to).map(|point| point.error.abs()).collect()
    }

    /// How long after `from` the error exceeded `limit` [us] for the last time (s).
    pub(crate) fn settles(&self, from: f64, limit: f64) -> f64 {
        let beyond = self.between(from, f64::INFINITY).filter(|point| point.error.abs() > limit);
        beyond.last().map_or(0.0, |point| point.since - from)
    }

    /// The error at that look.
    pub(crate) fn error_at(&self, since: f64) -> f64 {
        let error = self.points.iter().find(|point| point.since >= since - 1e-6).map(|point| point.error);
        error.unwrap_or(f64::NAN)
    }
}
