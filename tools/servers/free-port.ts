/** Servers of tests and benchmarks take their ports as the embedded PostgreSQL does: below those of clients. */
export { findFreePort } from "../../packages/sagaz/src/storage/embedded/free-port.ts";
