/** The server's REST interface. Every failure is a `ServerError` with a message and what to do next. */

const BASE = new URL("api/v1/", document.baseURI);

/** Says "login" when the server wants a token first. */
export const door = new EventTarget();

/** What the server could not do; `code` "unreachable" where it did not answer at all. */
export class ServerError extends Error {
  constructor(status, { code = "error", message = "", hint = "" } = {}, retryAfter = null) {
    super(message || `HTTP ${status}`);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

export const about = () => call("GET", "about");
export const list = (what) => call("GET", what);
export const plan = (wanted, signal) => call("POST", "plan", { json: wanted, signal });
export const submit = (wanted) => call("POST", "jobs", { json: wanted });
export const jobs = (query = {}) => call("GET", `jobs?${new URLSearchParams(query)}`).then((answer) => answer.jobs);
export const cancel = (id) => call("POST", `jobs/${id}/cancel`);
export const retry = (id) => call("POST", `jobs/${id}/retry`);
export const prioritise = (id, priority) => call("PATCH", `jobs/${id}`, { json: { priority } });
export const remove = (id) => call("DELETE", `jobs/${id}`);

/** Bring a picture (a Blob) to the server; its id, width and height come back. */
export const upload = (picture) =>
  call("POST", "uploads", { body: picture, headers: { "Content-Type": picture.type || "image/png" } });

export const eventsAddress = () => address("events");
export const previewAddress = (id, number) => address(`jobs/${id}/preview?n=${number}`);
export const resultAddress = (id, index) => address(`jobs/${id}/results/${index}`);
export const thumbnailAddress = (id, index) => address(`jobs/${id}/results/${index}/thumbnail`);

/** Whether a result is a video, which is played, and no picture. */
export const isVideo = (result) => Boolean(result.media_type?.startsWith("video/"));

/** Where the picture lies that a request names: "upload:ID" or "result:JOB/INDEX". */
export function pictureAddress(name) {
  const [kind, rest] = [name.slice(0, name.indexOf(":")), name.slice(name.indexOf(":") + 1)];
  if (kind === "upload") return address(`uploads/${rest}`);
  const [job, index] = rest.split("/");
  return resultAddress(job, index);
}

const address = (path) => new URL(path, BASE).href;

async function call(method, path, { json, body, headers = {}, signal } = {}) {
  const content = json === undefined ? body : writtenJson(json);
  const kind = json === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(address(path), { method, body: content, headers: { ...kind, ...headers }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, { code: "unreachable" });
  }
  if (answer.status === 401) door.dispatchEvent(new Event("login"));
  if (!answer.ok) throw await failure(answer);
  return answer.status === 204 ? null : readJson(await answer.text());
}

/**
 * Seeds have up to 63 bits, numbers in a browser 53: a longer seed is a text of digits on this side,
 * so that none comes back as another one.
 */
export const readJson = (written) => JSON.parse(written.replace(/"seed":\s*(\d{16,})/g, '"seed":"$1"'));
export const writtenJson = (value) => JSON.stringify(value).replace(/"seed":"(\d+)"/g, '"seed":$1');

async function failure(answer) {
  const told = await answer.json().catch(() => ({}));
  return new ServerError(answer.status, told.error ?? {}, answer.headers.get("Retry-After"));
}
