/**
 * `npm run api` writes what each subpath of the library exports to `packages/sagaz/api/*.api.md`; `npm run check` compares.
 * A change of the public surface is thereby always a diff that somebody reads.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

const packageFolder = resolve(import.meta.dirname, "../packages/sagaz");
const reportFolder = join(packageFolder, "api");
const write = process.argv.includes("--write");

interface Subpath {
  readonly report: string;
  readonly declarations: string;
}

function listSubpaths(): Subpath[] {
  const { exports = {} } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    exports?: Record<string, { types: string }>;
  };
  return Object.entries(exports)
    .filter(([, target]) => typeof target === "object")
    .map(([subpath, { types }]) => ({
      report: subpath === "." ? "sagaz" : subpath.slice(2).replaceAll("/", "-"),
      declarations: join(packageFolder, types),
    }));
}

function toConfig({ report, declarations }: Subpath): ExtractorConfig {
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(packageFolder, "package.json"),
    configObject: {
      projectFolder: packageFolder,
      mainEntryPointFilePath: declarations,
      compiler: { tsconfigFilePath: join(packageFolder, "tsconfig.json") },
      apiReport: {
        enabled: true,
        reportFolder,
        reportTempFolder: join(packageFolder, "dist/api"),
        reportFileName: `${report}.api.md`,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          "ae-missing-release-tag": { logLevel: ExtractorLogLevel.None },
          // The machinery behind the builder's types is nobody's to name; what subpaths share is exported by "sagaz".
          "ae-forgotten-export": { logLevel: ExtractorLogLevel.None },
          // Members may speak by their names; that every export has a comment is tested in tests/tidy/exports.test.ts.
          "ae-undocumented": { logLevel: ExtractorLogLevel.None },
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
}

/** True when the report was as committed (or has been written). */
function extract(subpath: Subpath): boolean {
  const result = Extractor.invoke(toConfig(subpath), { localBuild: write, printApiReportDiff: !write });
  if (result.apiReportChanged && !write)
    console.error(`${subpath.report}.api.md is out of date: run npm run api`);
  return result.errorCount === 0 && (write || !result.apiReportChanged);
}

function listStaleReports(subpaths: readonly Subpath[]): string[] {
  const expected = new Set(subpaths.map(({ report }) => `${report}.api.md`));
  return readdirSync(reportFolder).filter((file) => !expected.has(basename(file)));
}

mkdirSync(reportFolder, { recursive: true });
const subpaths = listSubpaths();
const good = subpaths.map(extract).every(Boolean);
const stale = listStaleReports(subpaths);
for (const file of stale) {
  if (write) rmSync(join(reportFolder, file));
  else console.error(`api/${file} describes a subpath that is gone: run npm run api`);
}
console.log(`${subpaths.length} subpaths compared with their reports`);
process.exitCode = good && subpaths.length > 0 && (write || stale.length === 0) ? 0 : 1;
