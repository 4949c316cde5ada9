import "./core/definition/symbol-metadata.ts";
import { setDefaultStorage } from "./runtime/configure.ts";
import { createStorage } from "./storage/create.ts";
import { InMemoryStorage } from "./storage/memory/index.ts";

setDefaultStorage((url) => (url === undefined ? Promise.resolve(new InMemoryStorage()) : createStorage(url)));
