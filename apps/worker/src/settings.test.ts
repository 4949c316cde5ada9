import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readSettings, SettingsError, usage } from "./settings.ts";

const urls = { SAGAZ_STORAGE_URL: "postgres://u:secret@db/x", SAGAZ_BROKER_URL: "redis://:secret@redis" };

describe("settings", () => {
  test("come from the environment, and have defaults", () => {
    expect(readSettings([], urls)).toEqual({
      storageUrl: "postgres://u:secret@db/x",
      brokerUrl: "redis://:secret@redis",
      httpDestinations: {},
      workerName: "sagaz-worker",
      batchMax: 1_000,
      leaseMs: 5_000,
      attemptsMax: 5,
      delivery: "relay",
      slotWalBytesMax: 1_073_741_824,
      blockKeyTopics: [],
      httpHost: "127.0.0.1",
      httpPort: 9_464,
      stopMs: 10_000,
      logLevel: "info",
    });
  });

  test("name what may be posted to; then no broker is needed", () => {
    const told = { "https://a.example.com": { authorization: "Bearer secret" }, "https://b.example.com": {} };
    const env = {
      SAGAZ_STORAGE_URL: "postgres://db/x",
      SAGAZ_OUTBOX_HTTP_DESTINATIONS: JSON.stringify(told),
    };
    expect(readSettings([], env)).toMatchObject({ brokerUrl: "", httpDestinations: told });
  });

  test("come from flags, which win", () => {
    const flags = ["--outbox-batch-max=50", "--outbox-block-key-topics", "orders, payments"];
    expect(readSettings(flags, { ...urls, SAGAZ_OUTBOX_BATCH_MAX: "7" })).toMatchObject({
      batchMax: 50,
      blockKeyTopics: ["orders", "payments"],
    });
  });

  test("come from files that the environment names", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "settings-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "url");
    writeFileSync(file, "postgres://from-file\n");
    const env = { SAGAZ_BROKER_URL: "redis://r", SAGAZ_STORAGE_URL_FILE: file };
    expect(readSettings([], env)).toMatchObject({ storageUrl: "postgres://from-file" });
  });

  test.each<[string, string[], Record<string, string>, string]>([
    ["none", [], {}, "SAGAZ_STORAGE_URL is missing"],
    ["an empty URL", [], { ...urls, SAGAZ_BROKER_URL: "" }, "SAGAZ_BROKER_URL is missing"],
    [
      "a broker that nobody hears",
      [],
      { ...urls, SAGAZ_BROKER_URL: "memory:" },
      "SAGAZ_BROKER_URL must name a server",
    ],
    [
      "a storage that nobody sees",
      [],
      { ...urls, SAGAZ_STORAGE_URL: "memory:" },
      "SAGAZ_STORAGE_URL must name a server",
    ],
    [
      "a log that is too short",
      ["--outbox-slot-wal-bytes-max=7"],
      urls,
      "SAGAZ_OUTBOX_SLOT_WAL_BYTES_MAX must be a whole number",
    ],
    ["an unknown flag", ["--batch"], urls, "Unknown option '--batch'"],
    ["a stray URL", ["postgres://u:secret@db/x"], urls, "An argument belongs to no flag"],
    [
      "a variable spelled wrong",
      [],
      { ...urls, SAGAZ_OUTBOX_BATCHMAX: "5" },
      "SAGAZ_OUTBOX_BATCHMAX is no setting",
    ],
    [
      "a variable whose name is too short",
      [],
      { ...urls, SAGAZ_DELIVERY: "cdc" },
      "SAGAZ_DELIVERY is no setting of sagaz-worker. Did you mean SAGAZ_OUTBOX_DELIVERY?",
    ],
    ["a number too small", [], { ...urls, SAGAZ_OUTBOX_BATCH_MAX: "0" }, "from 1 to 10000"],
    ["no number", ["--outbox-lease-ms", "5s"], urls, 'not "5s"'],
    ["a way that is none", ["--outbox-delivery", "debezium"], urls, "one of relay, cdc"],
    ["a level that is none", ["--log-level", "loud"], urls, "must be one of"],
    ["destinations that are no JSON", ["--outbox-http-destinations", "secret"], urls, "must be JSON"],
    [
      "destinations whose headers are none",
      ["--outbox-http-destinations", '{"https://a": {"x": ["secret"]}}'],
      urls,
      "must be JSON",
    ],
    ["a list of destinations", ["--outbox-http-destinations", '["secret"]'], urls, "must be JSON"],
    ["destinations that are null", ["--outbox-http-destinations", "null"], urls, "must be JSON"],
    ["a value twice", [], { ...urls, SAGAZ_STORAGE_URL_FILE: "/x" }, "both set"],
    ["a file that is not there", [], { SAGAZ_STORAGE_URL_FILE: "/no/such" }, "cannot be read"],
  ])("%s: are refused, and no password is shown", (_, flags, env, says) => {
    const read = () => readSettings(flags, env);
    expect(read).toThrow(SettingsError);
    expect(read).toThrow(says);
    expect(read).not.toThrow("secret");
  });

  test("leave variables of other programs alone", () => {
    const others = {
      SAGAZ_TEST_KAFKA_URL: "x",
      SAGAZ_DEBEZIUM_PASSWORD: "secret",
      SAGAZ_OUTBOX_SERVICE_HOST: "10.0.0.1", // of a service "sagaz-outbox", by Kubernetes
      SAGAZ_OUTBOX_PORT_8080_TCP_ADDR: "10.0.0.1",
    };
    expect(readSettings([], { ...urls, ...others })).toEqual(readSettings([], urls));
  });

  test("are all listed by --help", () => {
    expect(readSettings(["--help"], {})).toBe("help");
    const listed = usage().match(/SAGAZ_\w+/g);
    expect(listed).toHaveLength(Object.keys(readSettings([], urls)).length);
  });
});
