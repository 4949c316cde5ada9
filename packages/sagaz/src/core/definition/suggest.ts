/** Names the candidate nearest to a misspelt name as ` Did you mean "…"?`, or returns "" when none is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (!best || distance < best.distance) best = { candidate, distance };
  }
  const near = Math.max(2, Math.floor(name.length / 3));
  return best && best.distance <= near ? ` Did you mean "${best.candidate}"?` : "";
}

/** Levenshtein distance (Wagner & Fischer 1974), one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  let distance = b.length;
  for (let i = 0; i < a.length; i++) {
    let diagonal = i;
    distance = i + 1;
    const above = row.slice(1);
    row = [distance];
    for (const [j, replaced] of above.entries()) {
      distance = Math.min(diagonal + (a[i] === b[j] ? 0 : 1), replaced + 1, distance + 1);
      diagonal = replaced;
      row.push(distance);
    }
  }
  return distance;
}
