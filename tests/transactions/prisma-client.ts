import {
  getPrismaClient,
  type GetPrismaClientConfig,
  type ITXClientDenyList,
} from "@prisma/client/runtime/client";
import type { PrismaPg } from "@prisma/adapter-pg";

const schema = `
datasource db {
  provider = "postgresql"
}
model Order {
  id   String @id
  note String
  @@map("orders")
}
`;

/**
 * What `prisma generate` writes for the schema above, by hand: generating it takes Prisma's CLI, which weighs 230 MB and
 * asks for an engine over the network, and the code below is all that it would bring. The client itself is Prisma's.
 */
const config: GetPrismaClientConfig = {
  previewFeatures: [],
  clientVersion: "7.10.0",
  engineVersion: "0edf323efd1d98336f3f0a68684b56f689b900d3",
  activeProvider: "postgresql",
  inlineSchema: schema,
  runtimeDataModel: {
    models: {
      Order: {
        fields: [
          { name: "id", kind: "scalar", type: "String" },
          { name: "note", kind: "scalar", type: "String" },
        ],
        dbName: "orders",
        schema: null,
      },
    },
    enums: {},
    types: {},
  } as unknown as GetPrismaClientConfig["runtimeDataModel"], // generated code parses a text, so that no type is checked
  parameterizationSchema: { strings: [], graph: "AAAA" },
  compilerWasm: {
    getRuntime: async () => (await load("mjs")) as QueryCompiler,
    getQueryCompilerWasmModule: async () => {
      const { wasm } = (await load("wasm-base64.mjs")) as { readonly wasm: string };
      return new Module(Buffer.from(wasm, "base64"));
    },
    importName: "./query_compiler_small_bg.js",
  },
};

const { Module } = (
  globalThis as unknown as { readonly WebAssembly: { readonly Module: new (code: Uint8Array) => object } }
).WebAssembly;

type QueryCompiler = Awaited<ReturnType<NonNullable<GetPrismaClientConfig["compilerWasm"]>["getRuntime"]>>;

/** These files come without types, so that the compiler had better not look for them. */
function load(ending: string): Promise<unknown> {
  return import(`@prisma/client/runtime/query_compiler_small_bg.postgresql.${ending}`);
}

/** The generated type of the client, as far as the tests use it. */
export interface PrismaClient {
  readonly order: {
    create(args: { readonly data: { readonly id: string; readonly note: string } }): Promise<unknown>;
  };
  $connect(): Promise<void>;
  $disconnect(): Promise<void>;
  $queryRawUnsafe<T = unknown>(query: string, ...values: unknown[]): Promise<T>;
  $transaction<R>(
    work: (tx: Omit<PrismaClient, ITXClientDenyList>) => Promise<R>,
    options?: { readonly maxWait?: number; readonly timeout?: number },
  ): Promise<R>;
}

/** `new PrismaClient({ adapter })`. */
export function newPrismaClient(adapter: PrismaPg): PrismaClient {
  const Client = getPrismaClient(config);
  return new Client({ adapter }) as unknown as PrismaClient;
}
