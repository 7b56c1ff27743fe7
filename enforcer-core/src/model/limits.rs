// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every bound of the product, with its unit, in one place. Nothing waits, queues or grows without one.

use std::time::Duration;

/// Connections served at once; more wait in the kernel's accept queue.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections that wait in each listener's accept queue, as many as the kernel takes by default. Beyond it the
/// kernel may answer with SYN cookies, which keep nothing by which an origin is found: such a connection is refused.
pub const ACCEPT_QUEUE_MAX: u32 = 4096;
/// Time for a client to show what it speaks and to finish its TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the first flight that are looked at to tell the protocol; RFC 8446 caps a hello far above use.
pub const SNIFF_BYTES_MAX: usize = 16 * 1024;
/// Time for a client to send a request head on an idle connection before it is closed.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request head.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 128;
/// Bytes of a request body that a codec reads, before and after its content codings are undone; a larger one is
/// `opaque`. Agents send screenshots in base64 with every turn of a long history.
pub const REQUEST_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Content codings of one body, one inside the other, that are undone.
pub const CONTENT_CODINGS_MAX: usize = 2;
/// Members of one gzip body, or frames of one zstd body. Parallel compressors begin one for each 64 KiB or more.
pub const CODING_MEMBERS_MAX: usize = 1024;
/// Logarithm of the largest window, in bytes, of a zstd body (RFC 9659 section 3).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bodies that are decompressed at once; more wait. Beside the body each takes at most the window of its format: 16 MiB
/// for br, 8 MiB for zstd.
pub const DECOMPRESSED_AT_ONCE_MAX: usize = 8;
/// Bytes of bodies that are held whole at once, requests and answers of all exchanges together; beyond it exchanges
/// are refused. It bounds the memory for bodies, whatever the size of one: sixteen of the largest fill it. What is
/// computed from a body is a small multiple of the body and freed when it is computed.
pub const BUFFERED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes of a body that is decoded where it arrived; a larger one goes to a thread of its own.
pub const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Time for a client to send a request body that a codec has to see whole.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a refused request that are still read, so that its client gets to read the refusal.
pub const REQUEST_DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time for the rest of a refused request.
pub const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a plain answer that has to be masked whole; a larger one is refused. As many as of a request: what a model
/// answers with, such as an image, comes back in the history of the next turn.
pub const RESPONSE_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of one Server-Sent Event; a larger one ends the stream with an error event.
pub const SSE_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Choices of one answer, and so the largest `n` (OpenAI API reference, chat completions).
pub const CHOICES_MAX: u64 = 128;
/// Distinct texts followed at once inside one streamed answer (choices, tool calls).
pub const STREAM_TEXTS_MAX: usize = 512;
/// Bytes to remember where the texts of one streamed answer stand, names of members included.
pub const STREAM_PLACES_BYTES_MAX: usize = 256 * 1024;
/// Bytes of text for one token at most, on average: no request and no answer has fewer tokens than that,
/// whatever a count or a provider says.
pub const TEXT_BYTES_PER_TOKEN_MAX: u64 = 8;
/// Bytes of the boundary of a form (RFC 2046 section 5.1.1).
pub const FORM_BOUNDARY_BYTES_MAX: usize = 70;
/// Parts of one form; one with more is not understood.
pub const FORM_PARTS_MAX: usize = 1024;
/// Bytes of the headers of one part of a form.
pub const FORM_PART_HEAD_BYTES_MAX: usize = 4 * 1024;
/// Lines of one body of JSON lines, blank ones too; ten times the largest batch that a provider takes.
pub const JSON_LINES_MAX: usize = 1_000_000;
/// Bytes of one line of JSON lines.
pub const JSON_LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Depth to which JSON is followed; deeper is not understood.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes of the longest match of a pattern, and so what a streaming masker may hold back for one.
pub const MASK_HOLD_BYTES_MAX: usize = 1024;
/// Bytes of what a built-in detector knows by its beginning, and so what a streaming masker may hold back for one: a
/// private key in PEM. One of RSA with 16384 bits has less than 13 KiB.
pub const MASK_LONG_BYTES_MAX: usize = 16 * 1024;
/// Secrets of one request that are looked for in all that is recorded of it; more of them are not.
pub const KNOWN_SECRETS_MAX: usize = 32;
/// Bytes of the shortest such secret: what is shorter may stand anywhere by chance.
pub const KNOWN_SECRET_BYTES_MIN: usize = 8;
/// Bytes of the longest piece in which such a secret is looked for, and so what a streaming masker may hold back for one;
/// a longer one is looked for in pieces.
pub const KNOWN_SECRET_BYTES_MAX: usize = 1024;
/// Bytes of one field of a form that is masked for the record; a form with a longer one is not stored.
pub const RECORDED_FIELD_BYTES_MAX: usize = 64 * 1024;
/// Time for one upstream address to accept a connection and finish TLS.
pub const UPSTREAM_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for an upstream to send a response head; models may think long.
pub const UPSTREAM_HEAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Time without a byte of a body, in either direction, after which it is cut off.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Idle upstream connections kept warm for each endpoint name.
pub const UPSTREAM_IDLE_MAX: usize = 32;
/// Time an idle upstream connection is kept warm.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time in which nothing at all happens to an HTTP/2 exchange after which it is cut off: a client that
/// gives no room for the answer. Longer than all waits for the other side.
pub const H2_STALL_TIMEOUT: Duration = Duration::from_secs(900);
/// Concurrent streams on one downstream HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 128;
/// Bytes of one answer that wait for a client of HTTP/2 to take them.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Exchanges at once on one upstream HTTP/2 connection, or fewer if its server says so; more open another one.
pub const UPSTREAM_STREAMS_MAX: u32 = 32;
/// Bytes of one answer that an upstream HTTP/2 connection may have in flight. All of its exchanges
/// together have room, so that one whose agent reads nothing does not hold up the others.
pub const UPSTREAM_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Upstream connections at once that carry exchanges. At the bound those that wait for the next exchange are
/// closed; an exchange that still finds no place within [`UPSTREAM_CONNECT_TIMEOUT`] is refused.
pub const UPSTREAM_CONNECTIONS_MAX: usize = 16_384;
/// Exchanges of one agent at once that are with a provider, hence the connections it can hold; more are refused.
pub const UPSTREAM_EXCHANGES_OF_AGENT_MAX: usize = 8192;
/// Interim answers (1xx) before the answer to one request; with more of them it is not valid.
pub const UPSTREAM_INTERIM_MAX: u32 = 64;
/// Time between two signs of life on an upstream HTTP/2 connection.
pub const UPSTREAM_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Minted leaves kept; the least used one goes first.
pub const LEAVES_MAX: u64 = 1024;
/// TLS sessions remembered for clients that resume without a ticket.
pub const TLS_SESSIONS_MAX: usize = 4096;
/// Bytes of one file of certificates or keys.
pub const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Address-to-name memories kept; the oldest one goes first.
pub const NAMES_MAX: usize = 16_384;
/// Longest time an address is remembered for a name, whatever its TTL says.
pub const NAME_TTL_MAX: Duration = Duration::from_secs(3600);
/// Shortest time an address is remembered: clients connect a little after they asked.
pub const NAME_TTL_MIN: Duration = Duration::from_secs(60);
/// Time for the host's resolver to answer one query.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// DNS queries in flight; more are answered SERVFAIL.
pub const RESOLVES_MAX: usize = 512;
/// Bytes of a DNS query; a question and its EDNS options need far less.
pub const DNS_QUERY_BYTES_MAX: usize = 4096;
/// Bytes of a DNS answer over UDP that we ask for and give; larger ones go over TCP (DNS flag day 2020).
pub const DNS_UDP_BYTES_MAX: u16 = 1232;
/// Time for the next query on a DNS connection, and for its answer to be taken.
pub const DNS_TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries on one DNS connection before it is closed.
pub const DNS_TCP_QUERIES_MAX: usize = 1024;
/// Journal events waiting for the writer; a full queue denies.
pub const JOURNAL_QUEUE_MAX: usize = 8192;
/// Time an exchange waits for a place in the journal queue before it is denied.
pub const JOURNAL_WAIT: Duration = Duration::from_secs(2);
/// Longest wait until an event is durable.
pub const JOURNAL_DURABLE_WAIT: Duration = Duration::from_secs(10);
/// Records in one group commit.
pub const JOURNAL_BATCH_MAX: usize = 64;
/// Time the writer waits for a group to fill.
pub const JOURNAL_BATCH_WAIT: Duration = Duration::from_millis(5);
/// Bytes of one journal record; larger content goes into a body file.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 4096;
/// Findings of one verification; more are not listed.
pub const JOURNAL_FINDINGS_MAX: usize = 1000;
/// Records after which the heads of the journal are signed anew.
pub const JOURNAL_CHECKPOINT_RECORDS: u64 = 1024;
/// Time after which new records are covered by a signature.
pub const JOURNAL_CHECKPOINT_WAIT: Duration = Duration::from_secs(5);
/// Past periods of the journal that wait for their last reader before they are sealed; of more, the
/// oldest stays unsealed.
pub const JOURNAL_UNSEALED_MAX: usize = 8;
/// Time between two attempts to write after the journal failed.
pub const JOURNAL_RETRY_WAIT: Duration = Duration::from_millis(500);
/// Bytes of the body that is stored to find out whether bodies can be stored again.
pub const JOURNAL_PROBE_BYTES: usize = 1024 * 1024;
/// Bytes of the storage engine's cache.
pub const JOURNAL_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Sessions whose chain is continued at once; of more, the one that was quiet longest is forgotten.
pub const JOURNAL_SESSIONS_MAX: usize = 65_536;
/// Events of one page of a session.
pub const JOURNAL_PAGE_EVENTS_MAX: usize = 256;
/// Exchanges that a replay lists as changed; more are counted.
pub const REPLAY_DIFFERENCES_MAX: usize = 10_000;
/// Exchanges of these that are shown to a person.
pub const REPLAY_SHOWN_MAX: usize = 100;
/// Bytes of a body that are held in memory before it goes to a file of its own.
pub const BODY_MEMORY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a stored body that are shown; the whole of it is in the body file.
pub const BODY_VIEW_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one stored body; the rest is counted and not kept.
pub const STORED_BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of the body of a denied request that is stored; of a larger one nothing is.
pub const DENIED_BODY_STORED_BYTES_MAX: usize = 64 * 1024;
/// Bytes that one agent may have stored within [`STORED_BYTES_WINDOW`], before compression: bodies, and facts
/// beyond [`RECORDED_FACTS_BYTES_MAX`]. Beyond it they are not stored, and the record says so.
pub const STORED_BYTES_OF_AGENT_MAX: u64 = 1024 * 1024 * 1024;
/// Time within which the stored bytes of an agent are bound.
pub const STORED_BYTES_WINDOW: Duration = Duration::from_secs(3600);
/// Agents whose stored bytes are counted one by one; all others share one bound.
pub const STORED_BYTES_AGENTS_MAX: usize = 1024;
/// Time in which nothing of an agent was left unstored after which its alarm is over.
pub const STORED_BYTES_QUIET: Duration = Duration::from_secs(600);
/// Bytes of one text in a record that somebody else chose; the middle of a longer one is left out.
pub const RECORDED_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of a recorded command line; words beyond it are left out.
pub const RECORDED_COMMAND_BYTES_MAX: usize = 8 * 1024;
/// Bytes of texts in the facts of an exchange that are always recorded; more of them count as stored bytes of
/// their agent.
pub const RECORDED_FACTS_BYTES_MAX: usize = 1024;
/// Time for running exchanges to end after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two looks at whether the processes of a session are gone.
pub const SESSION_SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Time between two looks at the network namespaces of guarded processes.
pub const NAMESPACE_SWEEP_INTERVAL: Duration = Duration::from_secs(2);
/// Network namespaces served at once, besides the daemon's own; in more, guarded processes are refused.
pub const NAMESPACES_MAX: usize = 256;
/// Processes that wait for a look at their network namespace; the sweep finds what has no place.
pub const NAMESPACE_QUEUE_MAX: usize = 64;
/// Addresses and ports of endpoints at which processes that are not guarded are taken; of more, the surplus is
/// not seen.
pub const ENDPOINT_ADDRESSES_MAX: usize = 16_384;
/// Names of endpoints that are looked up at once.
pub const ENDPOINT_LOOKUPS_MAX: usize = 16;
/// Time between two looks at what addresses the names of endpoints have.
pub const ENDPOINT_LOOKUP_INTERVAL: Duration = Duration::from_secs(30);
/// Time for which an address is taken for a name's that its answers do not hold any more: clients keep answers.
pub const ENDPOINT_ADDRESS_KEEP: Duration = Duration::from_secs(3600);
/// Time that the start of the daemon waits for the first answers.
pub const ENDPOINT_FIRST_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks for processes that a selector describes and that nobody saw starting.
pub const ADOPTION_INTERVAL: Duration = Duration::from_secs(5);
/// Looks in a row, until one finds nothing new.
pub const ADOPTION_PASSES_MAX: usize = 32;
/// Generations of processes that are followed upwards.
pub const GENERATIONS_MAX: usize = 1024;
/// Programs whose paths are remembered for the record; of more, all are forgotten.
pub const PROGRAMS_MAX: usize = 1024;
/// Looks in a row that find no process of a session that began by a selector before it is over.
pub const SESSION_EMPTY_LOOKS: u32 = 2;
/// Time for exchanges that are cut at the end of the drain to write down their end.
pub const DRAIN_CUT_TIMEOUT: Duration = Duration::from_secs(5);
/// Links that one path may lead through, as for the kernel (path_resolution(7)).
pub const PATH_LINKS_MAX: usize = 40;
/// How often the bundle folder is compared with what is loaded.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of all files of a bundle together.
pub const BUNDLE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of an admin request body.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 * 1024;
/// Supplementary groups of one peer of the admin API that are looked at: as many as a process can have
/// (`NGROUPS_MAX`, limits.h).
pub const ADMIN_PEER_GROUPS_MAX: usize = 65_536;
/// Sessions whose owner the admin API remembers; of more, the oldest is read anew.
pub const ADMIN_OWNERS_MAX: usize = 4096;
/// Time within which reading the same of another user's session is one record.
pub const AUDIT_WINDOW: Duration = Duration::from_secs(600);
/// Readings of others' sessions that are told apart within [`AUDIT_WINDOW`]; more are one record for each reader.
pub const AUDIT_ACTS_MAX: usize = 4096;
/// Time for the admin API to answer the command line.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two rounds in which `session follow` asks for what is new.
pub const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions that `session follow` reads in one round; of more, the newest.
pub const FOLLOW_SESSIONS_MAX: usize = 128;
/// Time for which `session follow` still asks for a session that ended: what repeats is recorded up to
/// [`LEDGER_WINDOW`] later.
pub const FOLLOW_LINGER: Duration = Duration::from_secs(15);
/// Times [`FOLLOW_SESSIONS_MAX`] sessions among which those that one user may read are looked for in one request.
pub const BEGUN_ROUNDS_MAX: usize = 32;
/// Milliseconds for which `session follow` looks back for sessions that began before others that it knows already.
pub const FOLLOW_LOOK_BACK_MILLIS: u64 = 60_000;
/// Words and signs of one rule; Cedar follows a rule by recursion.
pub const RULE_TOKENS_MAX: usize = 4096;
/// Depth to which one rule is nested.
pub const RULE_DEPTH_MAX: usize = 64;
/// Things that one request may ask, each judged for itself: the requests of a batch. Each of them is in the record.
pub const CALLS_MAX: usize = 1024;
/// Characters of a `@message`.
pub const RULE_MESSAGE_CHARS_MAX: usize = 300;
/// Characters of all the `@message`s of a denial together.
pub const DENIAL_MESSAGE_CHARS_MAX: usize = 1200;
/// Shortest window of a budget.
pub const BUDGET_WINDOW_MIN: Duration = Duration::from_secs(60);
/// Longest window of a budget.
pub const BUDGET_WINDOW_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Bytes of a plain answer that count as a token where nobody says how many it has; English text has about four.
pub const BYTES_PER_TOKEN: u64 = 4;
/// How many times more tokens a request may count for us than for a provider, whose vocabulary and template differ.
pub const REQUEST_TOKENS_EXCESS_MAX: u64 = 4;
/// Tokens that a token budget reserves for the answer of a request that names no bound, unless the bundle says
/// otherwise.
pub const ANSWER_TOKENS_DEFAULT: u64 = 16_384;
/// How many times more tokens than were counted a provider reports where the record says so.
pub const USAGE_FAR_FACTOR: u64 = 10;
/// How many tokens more than were counted a provider reports where the record says so.
pub const USAGE_FAR_TOKENS: u64 = 1000;
/// Most tokens that a provider's report of one side of an exchange counts for: fewer digits than a card number has.
pub const USAGE_TOKENS_MAX: u64 = 9_999_999_999;
/// Bytes of the head of an answer that are no text of it; what is more is charged as text.
pub const ANSWER_HEAD_BYTES: u64 = 4096;
/// Time between a charge and its being written down.
pub const BUDGET_SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the file of the counters.
pub const BUDGET_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of the signature of a bundle.
pub const SIGNATURE_BYTES_MAX: u64 = 4096;
/// Bytes of a secret.
pub const SECRET_BYTES_MAX: u64 = 16 * 1024;
/// Time a request waits for a person, unless the bundle says otherwise.
pub const APPROVAL_HOLD: Duration = Duration::from_secs(90);
/// Shortest time a request waits for a person.
pub const APPROVAL_HOLD_MIN: Duration = Duration::from_secs(1);
/// Longest time a request waits for a person; clients give up at 600 s.
pub const APPROVAL_HOLD_MAX: Duration = Duration::from_secs(540);
/// Questions that stand at once; a request that would ask one more is refused.
pub const APPROVALS_MAX: usize = 256;
/// Questions of one agent that stand at once: one that asks all the time leaves room for others.
pub const APPROVALS_OF_AGENT_MAX: usize = 64;
/// Characters of the name of a header that a refusal repeats.
pub const HEADER_NAME_SHOWN_CHARS: usize = 64;
/// Characters of a content coding, a content type or the name of a query that a refusal repeats.
pub const DECLARED_SHOWN_CHARS: usize = 64;
/// Bytes of a body that is shown to whoever approves it; one that is longer cannot be approved.
pub const APPROVAL_SHOWN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of all questions that stand, with the bodies that they show.
pub const APPROVALS_SHOWN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the questions of one agent that stand, with the bodies that they show.
pub const APPROVALS_OF_AGENT_SHOWN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of a digest that an answer must repeat: enough that nobody finds another request with them.
pub const APPROVAL_DIGEST_CHARS: usize = 16;
/// Characters of the fingerprint of a header.
pub const APPROVAL_FINGERPRINT_CHARS: usize = 12;
/// Time a question stands, unless the bundle says otherwise.
pub const APPROVAL_EXPIRE: Duration = Duration::from_secs(1800);
/// Longest time a question stands.
pub const APPROVAL_EXPIRE_MAX: Duration = Duration::from_secs(86_400);
/// Bytes of the arguments of one tool call in an answer; a larger call is denied where calls are judged.
pub const TOOL_CALL_BYTES_MAX: usize = 1024 * 1024;
/// Scalar arguments of one tool call; of more, none is known.
pub const TOOL_CALL_SCALARS_MAX: usize = 4096;
/// Bytes of all scalar arguments of one tool call, with their names.
pub const TOOL_CALL_SCALARS_BYTES_MAX: usize = 2 * TOOL_CALL_BYTES_MAX;
/// Tool calls of one answer that are judged; more are denied.
pub const TOOL_CALLS_MAX: usize = 128;
/// Bytes of a stream that are held until the tool calls in them are complete; calls that are larger together are denied.
pub const TOOL_CALLS_HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of the name of a tool that a refusal repeats.
pub const TOOL_NAME_SHOWN_CHARS: usize = 64;
/// Tool calls that the record of one exchange lists; more are counted.
pub const RECORDED_CALLS_MAX: usize = 64;
/// Combinations of agent, action and endpoint that have a slice of the rules of their own; beyond it one slice
/// serves all endpoints of an agent and action.
pub const SLICES_MAX: usize = 262_144;
/// Combinations of masks whose masker is kept ready; more are built anew each time.
pub const MASKERS_MAX: usize = 256;
/// Bytes of a name in a bundle. The kernel's label of a process has this much room for the agent's name,
/// and a longer one could be declared but never run.
pub const NAME_BYTES_MAX: usize = 56;
/// Bytes of the name of a variable, or of its beginning, that an agent's `env` or `env_exclude` names.
pub const ENVIRONMENT_NAME_BYTES_MAX: usize = 128;
/// Entries of `match` in a bundle; every start of a program is compared with each of them.
pub const SELECTORS_MAX: usize = 64;
/// Units and cgroups that the entries of a bundle may name; the kernel side has a bit for each of two bundles.
pub const PLACES_MAX: usize = 32;
/// Bytes of the name of a unit or the path of a cgroup that an entry may name; the kernel compares one more
/// byte, so that a longer one is another one.
pub const CGROUP_NAME_BYTES_MAX: usize = 190;
/// Bytes of the name of a container; in the name of a cgroup a hyphen takes four.
pub const CONTAINER_NAME_BYTES_MAX: usize = 40;
/// Entries and places that one container takes which is named: as a machine, by docker and by podman.
pub const CONTAINER_PLACES: usize = 3;
/// Containers of a runtime whose names are read; the names of more are not known.
pub const CONTAINERS_MAX: usize = 4096;
/// Bytes of a runtime's file about its containers; a larger one is not read.
pub const CONTAINER_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of a path (`PATH_MAX` less its end).
pub const PATH_BYTES_MAX: usize = 4095;
/// Values of one fact that a suggested rule lists; with more of them it is not bounded.
pub const SUGGEST_VALUES_MAX: usize = 12;
/// Hosts without an endpoint that a suggestion lists.
pub const SUGGEST_HOSTS_MAX: usize = 100;
/// Suggested cases for one rule.
pub const SUGGEST_EXAMPLES_MAX: usize = 3;
/// Time for git to print one file or the list of a bundle's files.
pub const GIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Files of a bundle.
pub const BUNDLE_FILES_MAX: usize = 1024;
/// Time for the kernel to free detached programs.
pub const PROGRAMS_GONE_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks at whether they are freed.
pub const PROGRAMS_GONE_POLL: Duration = Duration::from_millis(5);
/// Combinations of labels of one metric that are counted by themselves; all others are counted as `other`.
pub const METRIC_SERIES_MAX: usize = 1024;
/// Part of a budget, in percent, from which on `enforcer status` names it.
pub const BUDGET_NEAR_END_PERCENT: u64 = 80;
/// Numbers of questions that are written down as used at once: after a restart as many are left out at most.
pub const QUESTION_NUMBERS_BLOCK: u64 = 100;
/// Bytes of the file with the last of these numbers.
pub const QUESTION_NUMBERS_FILE_BYTES_MAX: u64 = 64;
/// Bytes of the line with which a person answers yes or no.
pub const CONFIRMATION_BYTES_MAX: u64 = 64;
/// Time within which attempts of the same kind become one record, and denials one line of the log.
pub const LEDGER_WINDOW: Duration = Duration::from_secs(5);
/// Kinds of attempts that are told apart at once, over all sessions; kinds of denials, over all agents.
pub const LEDGER_KINDS_MAX: usize = 4096;
/// Kinds of attempts of one session that are told apart at once; more are counted by technique. Kinds of denials of
/// one agent; more are counted by reason.
pub const LEDGER_OWNER_KINDS_MAX: usize = 64;
/// Techniques that are counted for whole sessions at once, and reasons for whole agents; more are counted together.
pub const LEDGER_GROUPS_MAX: usize = 1024;
/// Time between two looks at what can break without anybody noticing.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Time without another sign of it after which a fault that only shows in passing is over.
pub const ALARM_QUIET: Duration = Duration::from_secs(10);
/// Difference between the wall clock and the steady one, since the last look, that is a step.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(2);
/// File descriptors that are kept to answer `enforcer status` when no others are left.
pub const DESCRIPTORS_SPARE: usize = 8;
/// File descriptors that must be free for the daemon to take new connections again.
pub const DESCRIPTORS_FREE_MIN: usize = 16;
/// Time between two looks at the files of upstream roots.
pub const ROOTS_INTERVAL: Duration = Duration::from_secs(2);
/// Time for the daemon to answer `enforcer status`; who is asked for the state must say it soon.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
