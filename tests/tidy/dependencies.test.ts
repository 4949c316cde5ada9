import { expect, test } from "vitest";
import { listFiles, looked, readJson } from "./repository.ts";

interface Package {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly overrides?: Record<string, string>;
}

const manifests = listFiles(/(^|\/)package\.json$/).map((path) => ({ path, ...(readJson(path) as Package) }));

test("versions are pinned exactly", () => {
  const versions = manifests.flatMap(
    ({ path, dependencies, devDependencies, optionalDependencies, overrides }) =>
      Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...overrides }).map(
        ([name, version]) => ({ path, name, version }),
      ),
  );
  expect(
    looked(versions, "versions").filter(({ version }) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
  ).toEqual([]);
});

test("the library itself depends on nothing at run time", () => {
  const library = manifests.find(({ path }) => path === "packages/sagaz/package.json");
  expect(library).toBeDefined();
  expect(library?.dependencies ?? {}).toEqual({});
});

test("the lockfile names the optional packages of every platform, without which npm ci refuses it", () => {
  const { packages } = readJson("package-lock.json") as { packages: Record<string, Package> };
  const optional = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).map((name) => ({ path, name })),
  );
  const missing = looked(optional, "optional packages").filter(
    ({ path, name }) =>
      !(`node_modules/${name}` in packages) && !(`${path}/node_modules/${name}` in packages),
  );
  expect(missing).toEqual([]);
});
