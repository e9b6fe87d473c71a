//! Which part of the buckets a process encodes, so that many machines can share one folder.
//!
//! `--part i/n` gives it, or the scheduler that started the process: a Slurm array or a Kubernetes indexed Job.
use schemas::Task;

/// The task of a process cannot be determined.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// A variable of the scheduler is not a number.
    #[error("{variable} is `{found}`, expected a number\nhint: give the part with `--part i/n`")]
    NotANumber {
        /// Its name.
        variable: &'static str,
        /// Its value.
        found: String,
    },
    /// The numbers of a Slurm array have gaps, so they do not determine the parts.
    #[error(
        "the Slurm array has {count} tasks numbered {min} to {max}, with gaps, or SLURM_ARRAY_TASK_MIN and _MAX are missing\n\
         hint: add `--parts` with the number of tasks of the whole array; task {id} is then part {id} of it"
    )]
    Gaps {
        /// `SLURM_ARRAY_TASK_COUNT`
        count: u32,
        /// `SLURM_ARRAY_TASK_MIN`
        min: u32,
        /// `SLURM_ARRAY_TASK_MAX`
        max: u32,
        /// `SLURM_ARRAY_TASK_ID`
        id: u32,
    },
    /// The index is not below the number of tasks.
    #[error(
        "{variable} is {index}, expected a number below {of}, the value of `--parts`\nhint: number the tasks from 0"
    )]
    Outside {
        /// The variable with the index.
        variable: &'static str,
        /// Its value.
        index: u32,
        /// The number of tasks.
        of: u32,
    },
    /// The scheduler gives the task, but not the number of tasks.
    #[error(
        "{variable} is {index}, but the number of tasks is unknown\n\
         hint: add `--parts` with the size of the whole array, or the completions of the Job"
    )]
    OfHowMany {
        /// The variable with the index.
        variable: &'static str,
        /// Its value.
        index: u32,
    },
    /// `--parts` gives the number of tasks, but the task is unknown.
    #[error(
        "`--parts` is {of}, but the part of this process is unknown\n\
         hint: start it in a Slurm array (SLURM_ARRAY_TASK_ID) or a Kubernetes indexed Job (JOB_COMPLETION_INDEX), or give `--part i/{of}`"
    )]
    Which {
        /// The number of tasks.
        of: u32,
    },
}

const SLURM: &str = "SLURM_ARRAY_TASK_ID";
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

/// The task that the scheduler gave this process. `None` without a scheduler. `variable` reads the
/// environment, `tasks` is the number of tasks, if it was given.
///
/// A Slurm array needs no number: its tasks are counted from its lowest index, if they have no gaps. An array
/// of which some tasks are sent again has gaps, or counts fewer tasks.
///
/// # Errors
/// If a variable is not a number, or the variables and `tasks` do not determine the task.
pub fn of_scheduler(tasks: Option<u32>, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Task>, TaskError> {
    let number = |name: &'static str| match variable(name) {
        None => Ok(None),
        Some(found) => found.parse::<u32>().map(Some).map_err(|_| TaskError::NotANumber { variable: name, found }),
    };
    let within = |variable, index, of| Task::new(index, of).map(Some).ok_or(TaskError::Outside { variable, index, of });
    match (number(SLURM)?, number(KUBERNETES)?, tasks) {
        (Some(id), _, Some(of)) => within(SLURM, id, of),
        (Some(id), _, None) => {
            let min = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let max = number("SLURM_ARRAY_TASK_MAX")?;
            let within = max.map(|max| max.saturating_sub(min).saturating_add(1));
            let count = number("SLURM_ARRAY_TASK_COUNT")?.or(within);
            let count = count.ok_or(TaskError::OfHowMany { variable: SLURM, index: id })?;
            let max = max.unwrap_or(min.saturating_add(count.saturating_sub(1)));
            // In 64 bits: an array may be numbered up to the largest number of 32.
            if id < min || id > max || u64::from(max - min) + 1 != u64::from(count) {
                return Err(TaskError::Gaps { count, min, max, id });
            }
            Ok(Task::new(id - min, count))
        }
        (None, Some(index), Some(of)) => within(KUBERNETES, index, of),
        (None, Some(index), None) => Err(TaskError::OfHowMany { variable: KUBERNETES, index }),
        (None, None, Some(of)) => Err(TaskError::Which { of }),
        (None, None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(tasks: Option<u32>, variables: &[(&str, &str)]) -> Result<Option<Task>, TaskError> {
        of_scheduler(tasks, |name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()))
    }

    fn slurm<'a>(id: &'a str, count: &'a str, min: &'a str, max: &'a str) -> [(&'static str, &'a str); 4] {
        [
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", count),
            ("SLURM_ARRAY_TASK_MIN", min),
            ("SLURM_ARRAY_TASK_MAX", max),
        ]
    }

    #[test]
    fn the_scheduler_gives_the_task() {
        let is = |index, of| Ok(Task::new(index, of));
        assert_eq!(task(None, &[]), Ok(None));
        assert_eq!(task(None, &slurm("2", "7", "0", "6")), is(2, 7));
        assert_eq!(task(None, &slurm("7", "7", "1", "7")), is(6, 7));
        assert_eq!(task(None, &slurm("4294967295", "2", "4294967294", "4294967295")), is(1, 2));
        assert_eq!(task(Some(7), &slurm("4", "2", "1", "4")), is(4, 7));
        assert_eq!(task(Some(3), &[("JOB_COMPLETION_INDEX", "0")]), is(0, 3));
    }

    #[test]
    fn incomplete_variables_are_refused() {
        for (tasks, variables, wanted) in [
            (None, &slurm("4", "2", "1", "4")[..], "with gaps"),
            (None, &slurm("8", "4", "0", "12"), "with gaps"),
            (None, &slurm("4294967295", "4294967295", "0", "4294967295"), "with gaps"),
            (None, &slurm("0", "0", "0", "4294967295"), "with gaps"),
            (None, &[("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MAX", "4294967295")], "with gaps"),
            (None, &slurm("two", "4", "0", "12"), "`two`, expected a number"),
            (Some(7), &slurm("7", "7", "1", "7"), "expected a number below 7"),
            (Some(2), &[("JOB_COMPLETION_INDEX", "2")], "expected a number below 2"),
            (None, &[("JOB_COMPLETION_INDEX", "2")], "JOB_COMPLETION_INDEX is 2, but the number of tasks is unknown"),
            (None, &[("SLURM_ARRAY_TASK_ID", "3")], "SLURM_ARRAY_TASK_ID is 3, but the number of tasks is unknown"),
            (None, &[("SLURM_ARRAY_TASK_ID", "0")], "SLURM_ARRAY_TASK_ID is 0, but the number of tasks is unknown"),
            (Some(2), &[], "the part of this process is unknown"),
        ] {
            let error = task(tasks, variables).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
