//! The course of an ask: which model is next, and why.
//!
//! Pure. Invariant: no model is taken twice, and none that the policy forbids.

use crate::ask::{Ask, FellBack, Policy};
use crate::catalog::{Catalog, Model};
use crate::error::FailureKind;
use std::collections::BTreeSet;

/// Most models of one ask.
const MODELS_MAX: usize = 16;

/// Where an ask is on its way through models.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    catalog: &'a Catalog,
    asked: &'a Model,
    policy: Policy,
    /// Models for a failure of any kind, in order.
    chain: Vec<&'a Model>,
    seen: BTreeSet<&'a str>,
    pub model: &'a Model,
    /// Why it is not the one that was asked.
    pub why: Option<FellBack>,
}

fn is_local(catalog: &Catalog, model: &Model) -> bool {
    catalog.provider(&model.provider).is_some_and(|provider| provider.local)
}

/// The model and its fallbacks, theirs behind them.
fn chain<'a>(catalog: &'a Catalog, asked: &'a Model) -> Vec<&'a Model> {
    let mut out = vec![asked];
    let mut at = 0;
    while let Some(model) = out.get(at) {
        for other in model.fallbacks.iter().filter_map(|id| catalog.model(id)) {
            if out.len() < MODELS_MAX && out.iter().all(|known| known.id != other.id) {
                out.push(other);
            }
        }
        at += 1;
    }
    out
}

impl<'a> Course<'a> {
    /// Begins; `spent` says of a provider whether its month is spent up to its threshold.
    pub fn new(
        catalog: &'a Catalog,
        ask: &Ask,
        spent: &dyn Fn(&str) -> bool,
    ) -> Result<Self, FailureKind> {
        let asked = catalog.model(&ask.model).ok_or(FailureKind::UnknownModel)?;
        let mut chain = chain(catalog, asked);
        let local = |model: &Model| is_local(catalog, model);
        match ask.policy {
            Policy::Local => chain.retain(|model| local(model)),
            Policy::LocalFirst => chain.sort_by_key(|model| !local(model)),
            Policy::Cloud => {}
        }
        let by_policy = chain.first().ok_or(FailureKind::Policy)?.id.clone();
        chain.sort_by_key(|model| spent(&model.provider));
        let first = chain.first().copied().ok_or(FailureKind::Policy)?;
        let why = match (first.id == asked.id, by_policy == asked.id) {
            (true, _) => None,
            (false, true) => Some(FellBack::Quota),
            (false, false) => Some(FellBack::Policy),
        };
        let mut seen = BTreeSet::new();
        seen.insert(first.id.as_str());
        Ok(Course { catalog, asked, policy: ask.policy, chain, seen, model: first, why })
    }

    fn allowed(&self, model: &Model) -> bool {
        self.policy != Policy::Local || is_local(self.catalog, model)
    }

    /// The next model for a failure of any kind.
    pub fn fallback(&self) -> Option<&'a str> {
        let next = self.chain.iter().find(|model| !self.seen.contains(model.id.as_str()));
        next.map(|model| model.id.as_str())
    }

    /// The next model of a list for one kind of failure: that of the model that failed, then that
    /// of the one that was asked.
    fn of(&self, list: fn(&Model) -> &Vec<String>) -> Option<&'a str> {
        let ids = list(self.model).iter().chain(list(self.asked));
        let mut models = ids.filter_map(|id| self.catalog.model(id));
        let next = models.find(|m| !self.seen.contains(m.id.as_str()) && self.allowed(m));
        next.map(|model| model.id.as_str())
    }

    /// The next model for an input that is too long.
    pub fn context_fallback(&self) -> Option<&'a str> {
        self.of(|model| &model.context_fallbacks)
    }

    /// The next model for a refusal by a filter.
    pub fn filter_fallback(&self) -> Option<&'a str> {
        self.of(|model| &model.filter_fallbacks)
    }

    /// Goes on to another model.
    pub fn go(&mut self, id: &str, because: &FailureKind) {
        let Some(model) = self.catalog.model(id) else { return };
        self.model = model;
        self.seen.insert(model.id.as_str());
        self.why.get_or_insert(FellBack::Failed(because.clone()));
    }

    /// Why another model than the asked one is at work.
    pub fn fell_back(&self) -> Option<FellBack> {
        self.why.clone().filter(|_| self.model.id != self.asked.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Provider;
    use crate::dialect::Dialect;

    /// `cloud` falls back to `home` and `other`, `other` to `last`.
    fn catalog() -> Catalog {
        let mut home = Provider::new("here", Dialect::Ollama, "http://127.0.0.1:1");
        home.local = true;
        let model = |id: &str, provider: &str, fallbacks: &[&str]| Model {
            fallbacks: fallbacks.iter().map(|id| (*id).to_owned()).collect(),
            ..Model::new(id, provider, id)
        };
        let mut models = vec![
            model("cloud", "there", &["home", "other"]),
            model("home", "here", &[]),
            model("other", "else", &["last", "cloud"]),
            model("last", "there", &[]),
            model("wide", "there", &[]),
        ];
        models[0].context_fallbacks = vec!["wide".to_owned()];
        models[0].filter_fallbacks = vec!["home".to_owned()];
        let cloud = |name: &str| Provider::new(name, Dialect::OpenAi, "http://127.0.0.1:1");
        Catalog {
            providers: vec![home, cloud("there"), cloud("else")],
            models,
            ..Catalog::default()
        }
    }

    /// The order in which models would be asked.
    fn order(policy: Policy, spent: &[&str]) -> (Vec<String>, Option<FellBack>) {
        let catalog = catalog();
        let ask = Ask { policy, ..Ask::new("cloud", "why?") };
        let Ok(mut course) = Course::new(&catalog, &ask, &|name| spent.contains(&name)) else {
            return (Vec::new(), None);
        };
        let why = course.why.clone();
        let mut out = vec![course.model.id.clone()];
        while let Some(next) = course.fallback() {
            course.go(next, &FailureKind::Server);
            out.push(next.to_owned());
        }
        (out, why)
    }

    #[test]
    fn policies_and_spent_months_order_the_models() {
        let (models, why) = order(Policy::Cloud, &[]);
        assert_eq!((models.join(" ").as_str(), why), ("cloud home other last", None));
        let (models, why) = order(Policy::LocalFirst, &[]);
        assert_eq!(models.join(" "), "home cloud other last");
        assert_eq!(why, Some(FellBack::Policy));
        assert_eq!(order(Policy::Local, &[]).0, ["home"]);
        let (models, why) = order(Policy::Cloud, &["there"]);
        assert_eq!(models.join(" "), "home other cloud last");
        assert_eq!(why, Some(FellBack::Quota));
        assert_eq!(order(Policy::Cloud, &["there", "else", "here"]).0[0], "cloud");
    }

    #[test]
    fn lists_for_one_kind_of_failure_keep_the_policy() {
        let catalog = catalog();
        let ask = Ask { policy: Policy::Cloud, ..Ask::new("cloud", "why?") };
        let mut course = Course::new(&catalog, &ask, &|_| false).expect("a course");
        assert_eq!(course.context_fallback(), Some("wide"));
        course.go("wide", &FailureKind::Context);
        assert_eq!(course.context_fallback(), None, "taken");
        assert_eq!(course.filter_fallback(), Some("home"), "of the one that was asked");
        assert_eq!(course.fell_back(), Some(FellBack::Failed(FailureKind::Context)));
        let local = Ask { policy: Policy::Local, ..ask };
        let course = Course::new(&catalog, &local, &|_| false).expect("a course");
        assert_eq!((course.context_fallback(), course.fallback()), (None, None));
        let unknown = Course::new(&catalog, &Ask::new("nobody", ""), &|_| false);
        assert_eq!(unknown.err(), Some(FailureKind::UnknownModel));
    }
}
