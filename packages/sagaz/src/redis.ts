/** The door `sagaz/redis`: sagas kept in Redis, and messages sent through it. */
export * from "./brokers/redis/index.ts";
export * from "./storage/redis/index.ts";
