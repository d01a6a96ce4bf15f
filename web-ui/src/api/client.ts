/**
 * Requests to the cluster. Whatever goes wrong becomes an ApiError: with the status and the server's own words, or with
 * status 0 where there was no answer.
 */
import { reportAnswer, reportSilence } from "../live/status";
import type { ErrorBody } from "./types";

const API = "v1";

/** How long an answer may take; peeks wait up to 5 s for records. */
const ANSWER_MS_MAX = 20_000;

export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }

  /** The server answers, but has no such path or thing. */
  get isMissing(): boolean {
    return this.status === 404 || this.status === 405 || this.status === 501;
  }

  get isUnreachable(): boolean {
    return this.status === 0;
  }
}

export function eventsUrl(path: string): string {
  return `${API}${path}`;
}

async function request(method: string, path: string, body?: BodyInit, headers?: HeadersInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${API}${path}`, {
      method,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      ...(body === undefined ? {} : { body }),
      ...(headers === undefined ? {} : { headers }),
    });
  } catch (cause) {
    reportSilence();
    const late = cause instanceof DOMException && cause.name === "TimeoutError";
    throw new ApiError(0, late ? "The cluster did not answer in time." : "The cluster cannot be reached.");
  }
  reportAnswer();
  if (!response.ok) {
    throw new ApiError(response.status, await errorText(response));
  }
  return response;
}

/** What Flink's servers say of a path that they do not have. */
const NO_SUCH_PATH = "Unable to load requested file";

async function errorText(response: Response): Promise<string> {
  const fallback = `The cluster answered ${response.status}.`;
  try {
    const body = (await response.json()) as Partial<ErrorBody>;
    const text = body.errors?.length ? body.errors.join("\n") : fallback;
    return text.startsWith(NO_SUCH_PATH) ? "This cluster does not offer it." : text;
  } catch {
    return fallback;
  }
}

export async function getJson<T>(path: string): Promise<T> {
  return (await (await request("GET", path)).json()) as T;
}

export async function getText(path: string): Promise<string> {
  return await (await request("GET", path)).text();
}

export async function sendJson<T>(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T> {
  const response = body === undefined
    ? await request(method, path)
    : await request(method, path, JSON.stringify(body), { "content-type": "application/json" });
  const text = await response.text();
  return (text === "" ? {} : JSON.parse(text)) as T;
}

export async function sendForm<T>(path: string, form: FormData): Promise<T> {
  return (await (await request("POST", path, form)).json()) as T;
}
