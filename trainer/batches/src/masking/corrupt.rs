//! What the model sees at a selected token: `[MASK]`, another token, or the token itself.
use schemas::Draws;

use super::{MaskingOptions, Masks, Selection};
use crate::vocabulary::Vocabulary;

/// Draws the input at each selected token, independently of the others.
pub(super) fn corrupt(
    ids: &[u32],
    selection: &Selection,
    options: &MaskingOptions,
    vocabulary: &Vocabulary,
    draws: &mut Draws,
) -> Masks {
    let mut masks = Masks::default();
    for (position, &id) in ids.iter().enumerate().filter(|(position, _)| selection.taken[*position]) {
        let draw = draws.unit();
        let input = if draw < options.replaced_by_mask {
            vocabulary.special.mask
        } else if draw < options.replaced_by_mask + options.replaced_at_random && !vocabulary.ordinary().is_empty() {
            vocabulary.ordinary()[draws.below(vocabulary.ordinary().len() as u64) as usize]
        } else {
            id
        };
        masks.positions.push(position as u16);
        masks.inputs.push(input);
    }
    masks
}
