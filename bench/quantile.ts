/** The value below which the share `q` of the ascending `sorted` lies (nearest rank); NaN when there is none. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN;
}
