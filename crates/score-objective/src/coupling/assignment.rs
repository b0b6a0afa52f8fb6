//! The cheapest one-to-one coupling, by shortest augmenting paths.

use ndarray::ArrayView2;

use super::check;
use crate::Error;

/// For each row a column of its own, with the least total cost.
///
/// Exact, in O(n² m) steps for n rows and m ≥ n columns: rows join one by one along the shortest path of reassignments,
/// measured in costs reduced by prices (Kuhn 1955; Jonker and Volgenant 1987).
/// Any finite costs, negative ones too; among equally cheap couplings the choice is deterministic.
///
/// # Errors
/// [`Error::TooFewColumns`] if there are fewer columns than rows, [`Error::NotFinite`] if a cost is not finite.
#[doc(alias = "Hungarian")]
#[doc(alias = "linear_sum_assignment")]
#[doc(alias = "immiscible")]
pub fn assignment(cost: ArrayView2<'_, f64>) -> Result<Vec<usize>, Error> {
    let (rows, columns) = cost.dim();
    if columns < rows {
        return Err(Error::TooFewColumns { rows, columns });
    }
    check("cost", cost)?;
    // Invariant: cost − row price − column price ≥ 0, and = 0 between a column and its owner.
    let mut row_price = vec![0.0; rows];
    let mut column_price = vec![0.0; columns];
    let mut owner: Vec<Option<usize>> = vec![None; columns];
    for newcomer in 0..rows {
        let mut distance = vec![f64::INFINITY; columns];
        // The column whose owner leads to this one; none where the newcomer does.
        let mut before: Vec<Option<usize>> = vec![None; columns];
        let mut settled = vec![false; columns];
        let (mut row, mut via, mut reached) = (newcomer, None, 0.0);
        // Dijkstra's search for the nearest column without an owner.
        let free = loop {
            let mut nearest: Option<usize> = None;
            for column in (0..columns).filter(|&column| !settled[column]) {
                let through = reached + cost[[row, column]] - row_price[row] - column_price[column];
                if through < distance[column] {
                    (distance[column], before[column]) = (through, via);
                }
                if nearest.is_none_or(|best| distance[column] < distance[best]) {
                    nearest = Some(column);
                }
            }
            let column = nearest.expect("a column without an owner, as rows <= columns");
            (settled[column], reached) = (true, distance[column]);
            match owner[column] {
                Some(next) => (row, via) = (next, Some(column)),
                None => break column,
            }
        };
        row_price[newcomer] += reached;
        for column in (0..columns).filter(|&column| settled[column]) {
            let slack = reached - distance[column];
            column_price[column] -= slack;
            if let Some(row) = owner[column] {
                row_price[row] += slack;
            }
        }
        // Each column on the path passes to the row that came to it.
        let mut column = free;
        while let Some(previous) = before[column] {
            owner[column] = owner[previous];
            column = previous;
        }
        owner[column] = Some(newcomer);
    }
    let mut partner = vec![0; rows];
    for (column, row) in owner.into_iter().enumerate() {
        if let Some(row) = row {
            partner[row] = column;
        }
    }
    Ok(partner)
}
