import { must } from "../../core/must.ts";
import type { Batch } from "./lane.ts";
import { batchBytes } from "./outgoing.ts";
import { writeTail } from "./record.ts";
import { lengthBytes, writeLength } from "./varint.ts";

const version = 2;
/** Where what the checksum is of begins, and where what the length counts. */
const checkedFrom = 21;
const countedFrom = 12;

/** The checksum of bytes, Castagnoli's. */
export type Checksum = (bytes: Buffer) => number;

/**
 * A batch as it goes over the wire: "Record Batch" in Kafka's message format
 * (https://kafka.apache.org/documentation/#recordbatch). Its messages are all of one time.
 */
export function toRecordsBatch(batch: Batch, now: bigint, checksum: Checksum): Buffer {
  const { messages, identity, sequence } = batch;
  const all = Buffer.allocUnsafe(batch.bytes);
  let end = batchBytes;
  for (const [n, { message, tailBytes }] of messages.entries()) {
    end = writeLength(all, 2 + lengthBytes(n) + tailBytes, end);
    all[end] = 0; // no attributes
    all[end + 1] = 0; // no later than the first
    const tail = writeLength(all, n, end + 2);
    end = writeTail(all, message, tail);
    must(end === tail + tailBytes, "a message is not changed while it is published");
  }
  must(end <= all.length, "a batch is no longer than was counted");
  all.writeBigInt64BE(0n, 0); // its place in the log is the broker's to say
  all.writeInt32BE(end - countedFrom, 8);
  all.writeInt32BE(0, 12); // which leader we think of: nobody asks
  all[16] = version;
  all.writeInt16BE(0, 21); // not compressed, no transaction
  all.writeInt32BE(messages.length - 1, 23);
  all.writeBigInt64BE(now, 27);
  all.writeBigInt64BE(now, 35);
  all.writeBigInt64BE(identity.producerId, 43);
  all.writeInt16BE(identity.epoch, 51);
  all.writeInt32BE(sequence, 53);
  all.writeInt32BE(messages.length, 57);
  const bytes = all.subarray(0, end);
  bytes.writeUInt32BE(checksum(bytes.subarray(checkedFrom)), 17);
  return bytes;
}
