// Explanations of the error codes for developers and users: what happened, and what to do. The type requires exactly one
// for each code; `pages.ts` renders them as pages.
import type { ErrorCode } from '../../errors.ts'

export interface Explanation {
  /** One or two sentences, in the past. */
  happened: string
  /** Steps, the likeliest first. */
  remedies: readonly string[]
}

/** Words between backquotes are code. */
export const explanations: Record<ErrorCode, Explanation> = {
  malformed_json: {
    happened: 'The body of the request is not JSON, or it is nested deeper than the server reads.',
    remedies: [
      'Send the text that a JSON serialiser makes, in UTF-8.',
      'Look for a body that was cut off, or sent twice.',
    ],
  },
  unknown_parameter: {
    happened:
      'The query has a parameter that this route does not know, or one that may not be repeated. Nothing was read: a mistyped filter would have widened the result.',
    remedies: [
      'Compare the names with the API page at `/api/docs`; they are case-sensitive.',
      'The `errors` of the problem name the parameter.',
    ],
  },
  bad_cursor: {
    happened:
      'The cursor was not made by this server for this query: it was changed, cut off, or the filters or the sort are others than on the page before.',
    remedies: [
      'Send `nextCursor` exactly as you received it, with the filters and the sort of that request.',
      'Otherwise begin with the first page, without a cursor.',
    ],
  },
  bad_request: {
    happened: 'The request cannot be understood as HTTP or as a request to this route; `detail` says why.',
    remedies: ['Correct what `detail` names. Sending the same request again gives the same answer.'],
  },
  unauthenticated: {
    happened:
      'The request has no access token, or one that is not valid: malformed, of another server, or of a session that has ended (`reason: "revoked"`).',
    remedies: [
      'Send `Authorization: Bearer <access token>`.',
      'Refresh the session with `POST /api/auth/refresh`; where that is refused too, sign in again.',
      'For scripts use a personal access token (`POST /api/auth/tokens`).',
    ],
  },
  token_expired: {
    happened: 'The access token was valid and has expired: it lives for 15 minutes.',
    remedies: [
      'Get another one with `POST /api/auth/refresh` and repeat the request.',
      'The client package does this by itself, shortly before the end.',
    ],
  },
  invalid_credentials: {
    happened:
      'The e-mail address and the password do not belong together. The answer is the same where no account has the address.',
    remedies: [
      'Check the address and the password, also the keyboard layout.',
      'Set another password by mail: `POST /api/auth/password-reset/request`.',
    ],
  },
  refresh_reused: {
    happened:
      'A refresh token was used a second time, after its successor had been used. One of the two holders may have stolen it, so the whole session has ended.',
    remedies: [
      'Sign in again.',
      'Store only the newest refresh token, and let one place of your program refresh.',
      'If your program does not repeat refreshes, change the password: the token may have been stolen.',
    ],
  },
  forbidden: {
    happened: 'You may see this, but your role does not permit what you asked for.',
    remedies: [
      'Ask an owner of the project for another role, or an administrator where the whole installation is concerned.',
    ],
  },
  insufficient_scope: {
    happened:
      'The personal access token does not permit this: it has the scope `read` only, or the route accepts no such tokens (accounts, passwords, sessions, administration).',
    remedies: ['Create a token with the scope `write`.', 'For accounts and administration, sign in instead.'],
  },
  user_disabled: {
    happened: 'The account exists, and an administrator has disabled it. Its data is kept.',
    remedies: ['Ask an administrator of this installation.'],
  },
  registration_closed: {
    happened: 'This installation takes no registrations; administrators create accounts.',
    remedies: [
      'Ask an administrator for an account.',
      'Operators: `REGISTRATION=open` or `invite` admits registrations.',
    ],
  },
  invitation_required: {
    happened: 'Only those whom an administrator has invited may register here.',
    remedies: [
      'Ask an administrator for an invitation; it comes by mail.',
      'Register with the token of that mail, as `invitation`, and with the address it was sent to.',
    ],
  },
  origin_refused: {
    happened:
      'A page of another origin used the session cookie, or opened a socket. Only listed origins may, because a browser sends cookies for any page.',
    remedies: [
      'Operators: add the origin of the page, with scheme and port, to `ALLOWED_ORIGINS`.',
      'Programs that are no browsers send no `Origin` and are not concerned.',
    ],
  },
  not_found: {
    happened:
      'There is nothing at this path, or you may not read it. The answer is the same for both, so that ids cannot be guessed.',
    remedies: [
      'Check the id and the path; paths are exact, also in their case and without a trailing slash. `detail` names the right path where there is one.',
      'If it existed before, it was deleted, or your access has ended.',
    ],
  },
  method_not_allowed: {
    happened: 'The path exists, but not with this method.',
    remedies: ['Use one of the methods in the `Allow` header of the answer.'],
  },
  conflict: {
    happened: 'Something changed at the same moment, so that the request could not be done as it was meant.',
    remedies: ['Read the present state and repeat the request.'],
  },
  email_taken: {
    happened: 'Another account has this e-mail address.',
    remedies: ['Sign in with it, or reset its password.', 'Otherwise choose another address.'],
  },
  id_taken: {
    happened:
      'The id you chose for the new task is in use, or was used by something that has been deleted: ids are never used again.',
    remedies: [
      'Make a new UUIDv7 and send the request again.',
      'If this is a repeat of a request whose answer you lost, read the task of that id first.',
    ],
  },
  inbox_fixed: {
    happened: 'Everyone has one Inbox. It cannot be deleted, archived or given members.',
    remedies: ['Create a project for what you share.', 'A single task of the Inbox can be shared.'],
  },
  last_owner: {
    happened: 'The project would have been left without an owner.',
    remedies: ['Make another member owner first, or delete the project.'],
  },
  sole_owner: {
    happened:
      'The account is the only owner of projects that have other members; `projects` lists them. They would be left without an owner.',
    remedies: ['Make another member owner of each, or delete it. Then delete the account again.'],
  },
  last_admin: {
    happened: 'The installation would have been left without an administrator who can sign in.',
    remedies: [
      'Make another person an administrator first.',
      'Operators can do it from a terminal: `bun src/main.ts user promote <email>`.',
    ],
  },
  project_archived: {
    happened: 'The project is archived: it can be read, but not changed.',
    remedies: ['An owner can bring it back with `POST /api/projects/<id>/unarchive`.'],
  },
  already_member: {
    happened: 'This person is a member of the project, and reads all of its tasks.',
    remedies: ['Change the role of the member instead.', 'A task need not be shared with a member.'],
  },
  already_shared: {
    happened: 'The task is shared with this person already.',
    remedies: ['Change the permission of the share with `PATCH`.'],
  },
  idempotency_in_flight: {
    happened: 'A request with the same `Idempotency-Key` is still running.',
    remedies: ['Wait as long as `Retry-After` says and repeat it: then you get the answer of the first one.'],
  },
  link_other_account: {
    happened:
      'The link was made for another account or another address: the address of the account has changed since, you are signed in as another user, or you register with another address than the one that was invited.',
    remedies: [
      'Sign out, or use the address that the mail was sent to.',
      'Ask for another link from the account you mean.',
    ],
  },
  link_used: {
    happened:
      'The link counts once, and was used: by you before, by another click, or by a newer link or password that replaced it.',
    remedies: ['Try to sign in: what the link was for may be done.', 'Otherwise ask for another link.'],
  },
  link_expired: {
    happened:
      'The link is too old (a password reset counts for one hour, a verification for three days, an invitation for seven), or it was withdrawn.',
    remedies: ['Ask for another link and use the newest mail.'],
  },
  cursor_expired: {
    happened:
      'The log is no longer kept as far back as the cursor, or the cursor belongs to an earlier epoch of the log; `reason` says which.',
    remedies: [
      'Read the snapshot that the problem names, show it, and go on from its cursor.',
      'The client package does this by itself.',
    ],
  },
  version_conflict: {
    happened:
      'Another request changed this after the version you named in `If-Match`. Nothing was written, so that its change is not lost.',
    remedies: [
      'Read it again, apply your change to the new version, and send it with that version.',
      '`currentVersion` is the present version.',
    ],
  },
  payload_too_large: {
    happened: 'The body is longer than this route accepts: JSON has at most 1 MiB.',
    remedies: ['Send less at once, for instance several smaller batches.'],
  },
  file_too_large: {
    happened:
      'The file is longer than an upload may be; `maxBytes` of the problem is the limit. Nothing was stored.',
    remedies: [
      'Send a smaller file, or pack it.',
      'A direct upload takes up to 1 GiB where the server keeps files in S3.',
    ],
  },
  quota_exceeded: {
    happened:
      'With this file your files would take more than 1 GiB; `storedBytes` of the problem says how much they take. Uploads that are still running count, too.',
    remedies: ['Remove files that you have attached and no longer need, then repeat the upload.'],
  },
  unsupported_type: {
    happened:
      'The content of the file is of a type that is not accepted. Its name and `Content-Type` do not matter: what begins like HTML, SVG or XML, programs, and documents with macros are refused under any name.',
    remedies: [
      'Send PNG, JPEG, GIF, WebP, PDF, plain text, CSV, Markdown, ZIP, or a document of Word, Excel, PowerPoint or OpenDocument without macros.',
      'Pack anything else into a ZIP archive.',
    ],
  },
  range_not_satisfiable: {
    happened:
      'The `Range` of the request begins behind the end of the file; `size` of the problem is its length.',
    remedies: ['Ask for a range within the file, or for all of it without `Range`.'],
  },
  direct_upload_unavailable: {
    happened: 'This server keeps files on its own disk, where clients cannot store them by themselves.',
    remedies: [
      'Upload the file through the server: `POST /api/tasks/:id/attachments`, at most 10 MiB.',
      'Operators: set `S3_BUCKET` and the settings beside it.',
    ],
  },
  upload_expired: {
    happened:
      'The upload was begun more than an hour ago and was not completed in time. What was stored is deleted.',
    remedies: ['Begin the upload again.'],
  },
  unsupported_media_type: {
    happened: 'The `Content-Type` or `Content-Encoding` of the body is not one this route reads.',
    remedies: [
      'Send `Content-Type: application/json` in UTF-8, without a content encoding, unless the API page names another type.',
    ],
  },
  validation_failed: {
    happened: 'A value breaks a rule; `errors` lists each with a JSON pointer to it. Nothing was written.',
    remedies: [
      'Show each `detail` at the field that its `pointer` names.',
      'An id that is unknown and one that you may not read give the same answer.',
    ],
  },
  link_invalid: {
    happened:
      'The token is not that of a link of this kind: it was cut off or changed on the way, or the key it was made under is no longer in use.',
    remedies: ['Open the whole link of the mail, or copy all of it.', 'Otherwise ask for another link.'],
  },
  user_not_found: {
    happened: 'No account has this e-mail address, or you may not name this person by id.',
    remedies: ['Check the address.', 'Ask the person to register first.'],
  },
  idempotency_key_reused: {
    happened:
      'The `Idempotency-Key` was used for another request within the last 24 hours. Nothing was written, because one of the two must be a mistake.',
    remedies: ['Make a key for each change, and use it again only to repeat that very change.'],
  },
  rate_limited: {
    happened:
      'There were too many requests; the `RateLimit` headers name the limit. Limits count per user, or per network address where no user is signed in.',
    remedies: [
      'Wait as long as `Retry-After` says.',
      'Send fewer and larger requests: batches, pages of 100, live data in place of polling.',
      'Operators: every limit is a setting.',
    ],
  },
  internal: {
    happened: 'The server failed. This is a fault of the server, not of the request.',
    remedies: [
      'Repeat the request later; with an `Idempotency-Key` a write happens once.',
      'Report the `requestId`: it is in the log line that has the cause.',
    ],
  },
  unavailable: {
    happened:
      'A part that the server depends on does not answer, or the server is overloaded or about to stop. A write may have been done, if the connection to the database broke at its end.',
    remedies: [
      'Repeat the request after `Retry-After`; with an `Idempotency-Key` a write happens once.',
      'Operators: `/readyz` names the part that is away.',
    ],
  },
}
