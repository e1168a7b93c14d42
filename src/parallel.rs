//! Work on all processors, for what waits for nothing but them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::env;

/// Applies a function to every item, as many at a time as there are processors. Results are in the order of the items; none waits for a slow one.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < items.len()));
    let some = || take().map(|number| (number, work(number, &items[number]))).collect::<Vec<_>>();
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..env::processors().min(items.len())).map(|_| scope.spawn(some)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(map(&items, |number, item| number + item), (0..100).map(|item| 2 * item).collect::<Vec<_>>());
        assert_eq!(map(&[] as &[usize], |_, item| *item), [0; 0]);
    }
}
