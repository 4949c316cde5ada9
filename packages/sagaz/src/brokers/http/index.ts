export { HttpInlet } from "./http-inlet.ts";
export type { HttpAnswer, HttpInletOptions, HttpRequest } from "./http-inlet.ts";
export { HttpOutlet } from "./http-outlet.ts";
export type { HttpDestination, HttpOutletOptions } from "./http-outlet.ts";
export type { HttpHeaders } from "./envelope-headers.ts";
export type { MakeHeaders } from "./post.ts";
