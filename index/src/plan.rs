//! What to take within a budget: a choice among offers, each of which is taken in steps.
//!
//! Pure. The next step is always the one that is worth most for what it costs, so that many short
//! excerpts come before one long text, unless that text is far more likely the right one.
//! Invariant: what is chosen never costs more than the budget.

/// Something that can be taken, then more of it.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// How likely it is what is wanted, in any unit.
    pub worth: f32,
    /// One behind the other.
    pub steps: Vec<Step>,
}

/// A little more of an offer.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Share of the offer's worth that it adds.
    pub gain: f32,
    /// What the offer costs from this step on, all former steps included.
    pub cost: usize,
}

impl Offer {
    fn cost(&self, taken: usize) -> usize {
        taken.checked_sub(1).map_or(0, |last| self.steps[last].cost)
    }

    /// What the next step is worth for each unit that it costs.
    fn rate(&self, taken: usize) -> Option<f32> {
        let step = self.steps.get(taken)?;
        let more = step.cost.saturating_sub(self.cost(taken)).max(1);
        Some(self.worth * step.gain / more as f32)
    }
}

/// By offer: how many of its steps are taken. Of equal steps the earlier offer's is.
pub fn choose(offers: &[Offer], budget: usize) -> Vec<usize> {
    let mut taken = vec![0; offers.len()];
    let mut open = vec![true; offers.len()];
    let mut left = budget;
    loop {
        let mut best: Option<(f32, usize)> = None;
        for (at, offer) in offers.iter().enumerate().filter(|(at, _)| open[*at]) {
            let Some(rate) = offer.rate(taken[at]) else { continue };
            if best.is_none_or(|(known, _)| rate > known) {
                best = Some((rate, at));
            }
        }
        let Some((_, at)) = best else { return taken };
        let more = offers[at].steps[taken[at]].cost.saturating_sub(offers[at].cost(taken[at]));
        if more > left {
            open[at] = false;
        } else {
            left -= more;
            taken[at] += 1;
        }
    }
}

/// An order of `relevant` things, best first, in which what is like an earlier one steps back:
/// maximal marginal relevance (Carbonell and Goldstein 1998), `share` of which is relevance.
/// `alike` says of two of them how much, 0 to 1.
pub fn diverse(relevant: &[f32], share: f32, alike: impl Fn(usize, usize) -> f32) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(relevant.len());
    // By thing: how like the likest before it.
    let mut likest = vec![0.0f32; relevant.len()];
    let mut open: Vec<usize> = (0..relevant.len()).collect();
    while !open.is_empty() {
        let worth = |at: usize| share * relevant[at] - (1.0 - share) * likest[at];
        let mut best = 0;
        for (place, at) in open.iter().enumerate() {
            if worth(*at) > worth(open[best]) {
                best = place;
            }
        }
        let next = open.remove(best);
        for at in &open {
            likest[*at] = likest[*at].max(alike(next, *at));
        }
        order.push(next);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(worth: f32, steps: &[(f32, usize)]) -> Offer {
        let steps = steps.iter().map(|(gain, cost)| Step { gain: *gain, cost: *cost });
        Offer { worth, steps: steps.collect() }
    }

    #[test]
    fn short_pieces_of_many_come_before_all_of_one() {
        let offers = [
            offer(1.0, &[(0.7, 100), (0.3, 300)]),
            offer(0.5, &[(0.7, 100), (0.3, 300)]),
            offer(0.1, &[(0.7, 100), (0.3, 300)]),
        ];
        assert_eq!(choose(&offers, 99), [0, 0, 0]);
        assert_eq!(choose(&offers, 210), [1, 1, 0]);
        assert_eq!(choose(&offers, 400), [2, 1, 0]);
        assert_eq!(choose(&offers, 1_000), [2, 2, 2]);
        assert_eq!(choose(&[], 1_000), [0; 0]);
    }

    #[test]
    fn what_does_not_fit_leaves_room_for_what_does() {
        let offers = [offer(1.0, &[(1.0, 500)]), offer(0.1, &[(1.0, 90)])];
        assert_eq!(choose(&offers, 400), [0, 1]);
    }

    #[test]
    fn what_is_like_an_earlier_one_steps_back() {
        let pair = |a: usize, b: usize| if a.min(b) == 0 && a.max(b) == 1 { 1.0 } else { 0.0 };
        assert_eq!(diverse(&[1.0, 0.9, 0.8], 0.7, pair), [0, 2, 1]);
        assert_eq!(diverse(&[1.0, 0.9, 0.8], 1.0, pair), [0, 1, 2]);
        assert_eq!(diverse(&[1.0, 0.9, 0.2], 0.7, pair), [0, 1, 2]);
        assert_eq!(diverse(&[], 0.7, pair), [0; 0]);
    }

    proptest! {
        #[test]
        fn the_budget_holds(
            parts in prop::collection::vec(
                (0.0f32..1.0, prop::collection::vec((0.0f32..1.0, 1usize..500), 0..5)), 0..20),
            budget in 0usize..3_000,
        ) {
            let offers: Vec<Offer> = parts
                .into_iter()
                .map(|(worth, mut steps)| {
                    steps.sort_by_key(|(_, cost)| *cost);
                    offer(worth, &steps)
                })
                .collect();
            let taken = choose(&offers, budget);
            let cost: usize = offers.iter().zip(&taken).map(|(o, n)| o.cost(*n)).sum();
            prop_assert!(cost <= budget);
            let fits = |(offer, taken): (&Offer, &usize)| {
                let step = offer.steps.get(*taken).map(|s| s.cost - offer.cost(*taken));
                step.is_some_and(|more| cost + more <= budget)
            };
            prop_assert!(!offers.iter().zip(&taken).any(fits), "room was left");
        }
    }
}
