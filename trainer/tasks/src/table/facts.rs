//! Table 2 for a program.
use serde_json::{Value, json};

use super::Table;

impl Table {
    /// One object per model and score, as a row of `table2.csv`, and one with the missing cells.
    pub fn facts(&self) -> Vec<Value> {
        let mut facts = Vec::new();
        for (row, model) in self.models.iter().enumerate() {
            for column in &self.columns {
                let (Some(value), test) = (column.values[row], &self.tests[column.test]) else { continue };
                facts.push(json!({
                    "event": "score",
                    "model": model,
                    "test_set": test.name,
                    "task": test.task,
                    "limit": test.limit,
                    "train_examples": test.train,
                    "score": test.task.score_names()[column.score],
                    "mean": value.mean,
                    "standard_deviation": value.deviation,
                    "replicates": value.replicates,
                    "splits": test.splits,
                    "seeds": test.seeds,
                    "test_examples": test.examples,
                    "documents": test.documents,
                    "difference_from_first": value.difference,
                    "p_holm": value.corrected,
                }));
            }
        }
        if let Some(order) = &self.order {
            facts.push(json!({"event": "rank_correlation", "with": "the paper's Table 2", "correlation": order}));
        }
        if !self.missing.is_empty() {
            facts.push(json!({"event": "missing_cells", "cells": self.missing}));
        }
        facts
    }
}
