/**
 * The walls of the house: who may import whom. `npm run check` holds them; `tests/tidy/walls.test.ts` proves that they hold.
 *
 * Every folder of the library is a room with a list of what it may reach; what is not on the list is forbidden.
 */
const src = "^packages/sagaz/src";
const tests = "\\.(test|test-d)\\.ts$";
const adapter = [`${src}/(core|ports)/`];

/** Each room, and what it reaches beside itself; an adapter also reaches all of Node. `$1` is the name of an adapter's own folder. */
const rooms = [
  { room: "core", reaches: [] },
  { room: "ports", reaches: [`${src}/core/`] },
  { room: "runtime", reaches: [`${src}/(core|ports)/`, "^(crypto|os)$"] },
  { room: "storage/(memory|postgres|redis)", own: "storage/$1", reaches: adapter, isAdapter: true },
  // The embedded server is a PostgreSQL: its storage is that one, on a pool of its own.
  { room: "storage/embedded", reaches: [...adapter, `${src}/storage/postgres/`], isAdapter: true },
  { room: "brokers/([^/]+)", own: "brokers/$1", reaches: adapter, isAdapter: true },
  { room: "observe/([^/]+)", own: "observe/$1", reaches: adapter, isAdapter: true },
  // Typed by structure: no library is named there, not even by type.
  { room: "transactions", reaches: [`${src}/core/`] },
  {
    room: "testing",
    reaches: [`${src}/(core|ports|runtime)/`, `${src}/(storage|brokers)/memory/`, "^assert(/strict)?$"],
  },
];

/** @type {import("dependency-cruiser").IForbiddenRuleType[]} */
const roomRules = rooms.map(({ room, own = room, reaches, isAdapter = false }) => ({
  name: `${room.replace(/\/\(.*/, "")} stays in`,
  comment: `${room} may reach only itself and what tools/walls.config.mjs lists for it`,
  severity: "error",
  from: { path: `${src}/${room}/`, pathNot: tests },
  to: isAdapter
    ? // Packages are judged by the rules on drivers below.
      { pathNot: [`${src}/${own}/`, ...reaches, "node_modules/"], dependencyTypesNot: ["core"] }
    : { pathNot: [`${src}/${own}/`, ...reaches] },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
const walls = {
  forbidden: [
    ...roomRules,
    {
      name: "no driver in the library",
      comment:
        "The library has no runtime dependency: drivers come in as arguments, and are named by `import type` only",
      severity: "error",
      from: {
        path: `${src}/`,
        pathNot: [tests, `${src}/(storage|brokers)/create\\.ts$`, `${src}/storage/embedded/`],
      },
      to: { path: "node_modules/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "optional peers are imported late",
      comment: "An optional peer may be absent: whoever loads one does it by `await import`",
      severity: "error",
      from: { path: [`${src}/(storage|brokers)/create\\.ts$`, `${src}/storage/embedded/`], pathNot: tests },
      to: { path: "node_modules/", dependencyTypesNot: ["type-only"], dynamic: false },
    },
    {
      name: "front door shows rooms only",
      comment: "index.ts re-exports; of the adapters it may name only those in memory and the two factories",
      severity: "error",
      from: { path: `${src}/index\\.ts$` },
      to: { pathNot: [`${src}/(core|ports|runtime)/`, `${src}/(storage|brokers)/(memory/|create\\.ts$)`] },
    },
    {
      name: "a subpath shows its adapters only",
      comment: "redis.ts is the door to both adapters of Redis, and has nothing of its own",
      severity: "error",
      from: { path: `${src}/redis\\.ts$` },
      to: { pathNot: `${src}/(storage|brokers)/redis/index\\.ts$` },
    },
    {
      name: "shipped code stands alone",
      comment: "What is published imports no test, tool, benchmark or example",
      severity: "error",
      from: { path: `${src}/`, pathNot: tests },
      to: { path: ["^(apps|tests|tools|bench|examples)/", tests] },
    },
    {
      name: "packages are imported by name",
      comment:
        "Examples, benchmarks and system tests use the library as its users do; the ceiling encodes rows as our writer does",
      severity: "error",
      from: { path: "^(apps|examples|bench|tests/system)/", pathNot: "^bench/engine/ceiling\\.ts$" },
      to: { path: `${src}/` },
    },
    {
      name: "no cycles",
      comment: "Two files that import each other are one file, or three",
      severity: "error",
      from: { pathNot: tests },
      to: { circular: true },
    },
    {
      name: "everything resolves",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true, // `import type` counts as an import
    doNotFollow: { path: ["node_modules", "/dist/"] },
    exclude: { path: ["\\.generated\\.ts$", "/dist/.*\\.d\\.ts$"] },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "default"],
      extensions: [".ts", ".js", ".mjs"],
    },
  },
};

export default walls;
