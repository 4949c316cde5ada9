/** Reads the beginning of a body as a text, and lets go of the rest: an answer is no place for more. */
export async function readStart(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let left = bytesMax; left > 0;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value.subarray(0, left), { stream: true });
    left -= value.length;
  }
  // Not awaited: the other side may never end it.
  reader.cancel().catch(() => {});
  return text;
}
