/**
 * The walls of the house: who may import whom. `npm run check` holds them; `tests/tidy/walls.test.ts` proves that they hold.
 *
 * Every folder of the library is a room with a list of what it may reach; what is not on the list is forbidden.
 */
const src = "^packages/sagaz/src";
const tests = "\\.(test|test-d)\\.ts$";
const node = (/** @type {string} */ modules) => `^(node:)?(${modules})$`;
const anyNode = "^node:";

/** Each room, and what it reaches beside itself. `$1` is the name of an adapter's own folder. */
const rooms = [
  { room: "core", reaches: [] },
  { room: "ports", reaches: [`${src}/core/`] },
  { room: "runtime", reaches: [`${src}/(core|ports)/`, node("crypto|os")] },
  { room: "storage/memory", reaches: [`${src}/(core|ports)/`, anyNode] },
  { room: "storage/postgres", reaches: [`${src}/(core|ports)/`, anyNode] },
  { room: "storage/embedded", reaches: [`${src}/(core|ports|storage/postgres)/`, anyNode] },
  { room: "storage/redis", reaches: [`${src}/(core|ports)/`, anyNode] },
  { room: "brokers/([^/]+)", own: "brokers/$1", reaches: [`${src}/(core|ports)/`, anyNode] },
  { room: "observe/([^/]+)", own: "observe/$1", reaches: [`${src}/(core|ports)/`, anyNode] },
  {
    room: "testing",
    reaches: [
      `${src}/(core|ports|runtime)/`,
      `${src}/(storage|brokers)/memory/`,
      node("assert|assert/strict"),
    ],
  },
];

const roomRules = rooms.map(({ room, own, reaches }) => ({
  name: `${room.replace("/([^/]+)", "")}-stays-in`,
  comment: `${room} may reach only itself and what tools/walls.config.mjs lists for it`,
  severity: "error",
  from: { path: `${src}/${room}/`, pathNot: tests },
  // A driver's types may be named anywhere in an adapter: they are gone when the code runs (see no-driver-in-the-library).
  to: { pathNot: [`${src}/${own ?? room}/`, ...reaches, ...(room.includes("/") ? ["node_modules/"] : [])] },
}));

export default {
  forbidden: [
    ...roomRules,
    {
      name: "no-driver-in-the-library",
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
      name: "optional-peers-are-imported-late",
      comment: "An optional peer may be absent: whoever loads one does it by `await import`",
      severity: "error",
      from: { path: [`${src}/(storage|brokers)/create\\.ts$`, `${src}/storage/embedded/`], pathNot: tests },
      to: { path: "node_modules/", dependencyTypesNot: ["type-only"], dynamic: false },
    },
    {
      name: "front-door-shows-rooms-only",
      comment: "index.ts re-exports; of the adapters it may name only those in memory and the two factories",
      severity: "error",
      from: { path: `${src}/index\\.ts$` },
      to: { pathNot: [`${src}/(core|ports|runtime)/`, `${src}/(storage|brokers)/(memory/|create\\.ts$)`] },
    },
    {
      name: "shipped-code-stands-alone",
      comment: "What is published imports no test, tool, benchmark or example",
      severity: "error",
      from: { path: `${src}/`, pathNot: tests },
      to: { path: ["^(tests|tools|bench|examples)/", tests] },
    },
    {
      name: "packages-are-imported-by-name",
      comment: "Examples and benchmarks use the library as its users do",
      severity: "error",
      from: { path: "^(examples|bench)/" },
      to: { path: `${src}/` },
    },
    {
      name: "no-cycles",
      comment: "Two files that import each other are one file, or three",
      severity: "error",
      from: { pathNot: tests },
      to: { circular: true },
    },
    {
      name: "everything-resolves",
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
