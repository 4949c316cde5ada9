/** Now, in milliseconds of the machine's monotonic clock, which processes share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
