//! What a TaskManager is asked beside its work: answered from what tasks leave in passing, without a word to them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use millrace_protocol::{Answer, Question};
use millrace_types::AttemptId;

use crate::flame;
use crate::metrics::TaskMetrics;
use crate::peek;

/// The figures of the tasks that run; cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveTasks(Arc<RwLock<BTreeMap<AttemptId, Arc<TaskMetrics>>>>);

impl LiveTasks {
    pub(crate) fn insert(&self, attempt: AttemptId, metrics: Arc<TaskMetrics>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(attempt, metrics);
    }

    pub(crate) fn remove(&self, attempt: AttemptId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Those of which something holds.
    pub(crate) fn which(&self, of: impl Fn(&AttemptId) -> bool) -> Vec<(AttemptId, Arc<TaskMetrics>)> {
        let tasks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = tasks.iter().filter(|(attempt, _)| of(attempt));
        found.map(|(attempt, metrics)| (*attempt, Arc::clone(metrics))).collect()
    }

    /// Keeps what rates are taken from.
    pub(crate) fn note_rates(&self) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().for_each(|metrics| metrics.note_rates());
    }

    /// Answers a question. A flame graph and a look at records take as long as they say.
    pub(crate) async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Figures => {
                let tasks = self.which(|_| true);
                Answer::Figures(tasks.into_iter().map(|(attempt, metrics)| metrics.detail(attempt)).collect())
            }
            Question::Flame(request) => {
                let of = |attempt: &AttemptId| attempt.job == request.job && attempt.vertex == request.vertex;
                Answer::Flame(flame::sample(self.which(of), &request).await)
            }
            Question::Peek(request) => {
                let of = |attempt: &AttemptId| attempt.job == request.job && attempt.vertex == request.vertex;
                Answer::Records(peek::look(self.which(of), &request).await)
            }
        }
    }
}
