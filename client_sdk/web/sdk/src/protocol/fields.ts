// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * The fields of every message and body, in order, as `codec.ts` reads and writes them.
 *
 * A field in `fields.ts` is `name:kind`, then `?` if nil is allowed and `=` if it may be missing. Kinds: `i`
 * identifier, `b` bytes, `s` text, `u` integer from 0 to 2^53-1, `n` any integer, `y` yes or no, `/a|b` one of these
 * texts, `@Name` another structure; `[]` before a kind makes it a list. Bounds follow the letter or stand in the
 * brackets: `b32` exactly 32, `b-24` at most 24, `[1-16]` one to sixteen.
 */

/** By tag of a message or name of another structure. */
export const FIELDS: Readonly<Record<string, string>> = {
  challenge: "conn:b16 nonce:b32 serverTimeMs:u serverId:b32",
  auth: "account:i device:i origin:s-512 nonce:b32 stateRev:u sig:b64",
  ConversationBase: "conv:i base:u",
  hello: "version:n features:[]s storeEpoch:i lastAuth:b? httpToken:b32 sig:b64 bases:[]@ConversationBase= oneTimeKeys:u=",
  renew: "",
  token: "httpToken:b32",
  post: "outer:b125 nonce:b24 ct:b-16400 devices:b-2560 keys:b entry:b149?=",
  direct: "outer:b125 nonce:b-24 ct:b-16400 device:i key:b-1324",
  signal: "frame:b-8192",
  void: "conv:i id:i",
  AckItem: "id:i entry:b149?=",
  ack: "ok:[-256]@AckItem parked:[-256]i=",
  accepted: "id:i seq:u at:u",
  deliver: "seq:u at:u outer:b125 nonce:b-24 ct:b-16400 key:b-1324",
  entry: "id:i conv:i seq:u at:u entry:b",
  notice: "id:i conv:i? seq:u at:u kind:s about:b",
  DeliveredItem: "id:i device:i parked:y=",
  delivered: "items:[]@DeliveredItem",
  caught_up: "",
  present: "state:s-16",
  watch: "accounts:b-16000",
  presence: "account:i state:s-16",
  watch_office: "accounts:b-16000",
  office: "account:i status:s-16 until:u= document:b-16509?=",
  call: "call:i step:s-16 direct:@direct?=",
  call_state: "call:i conv:i phase:s-16 caller:i callerDevice:i device:i? reason:s-16 at:u until:u rings:y away:b-32 version:u",
  watch_room: "appointments:b-1024",
  room: "room:@RoomView",
  error: "code:s re:i?= retryable:y= retryAfterMs:u=",
  device_mismatch: "id:i missing:b-2560 stale:b-2560",
  epoch_stale: "id:i epoch:u",
  blocked: "id:i by:i",
  ping: "",
  pong: "",
  draining: "retryAfterMs:u",
  InviteView: "conv:i card:b-32768 chain:[]b-4096 lists:[]@AccountDevices serverTimeMs:u",
  Prekeys: "signed:b108 lastResort:b1260 oneTime:[-100]b1292",
  Register: "list:b-8192 prekeys:@Prekeys join:b-4096?= ownerToken:b32?=",
  Registered: "role:/owner|therapist|client seq:u=",
  AccountDevices: "account:i lists:[]b-8192",
  DeviceLists: "lists:[]b-8192",
  DeviceListUpdate: "list:b-8192 prekeys:@Prekeys?=",
  ReturnedLists: "device:i lists:[1-16]b-8192 prekeys:@Prekeys",
  PrekeyUpload: "signed:b108?= lastResort:b1260?= oneTime:[-100]b1292= replace:y=",
  PrekeysLeft: "oneTime:u highest:u=",
  Claim: "claim:i devices:[-160]i",
  Bundle: "device:i signed:b108 key:b-1292 lastResort:y=",
  Claimed: "bundles:[]@Bundle",
  LinkOpen: "link:i commitment:b32",
  LinkStep: "step:u1-5 content:b1-131072",
  LinkState: "expiresMs:u serverTimeMs:u steps:[]b",
  CreateInvite: "entries:[1-2]b-4096 card:b-32768",
  AppendEntry: "entry:b-4096",
  Appended: "seq:u at:u",
  MembershipItem: "seq:u at:u entry:b-4096",
  MembershipChain: "items:[]@MembershipItem",
  ConversationHead: "conv:i kind:u epoch:u seq:u base:u=",
  Conversations: "heads:[]@ConversationHead",
  AccountVersion: "account:i listVersion:u devices:b-128",
  RequiredDevices: "epoch:u accounts:[]@AccountVersion",
  ArchivedItem: "seq:u at:u outer:b nonce:b ct:b entry:b",
  ArchivePage: "items:[]@ArchivedItem nextSeq:u",
  Fetch: "ids:[-256]i",
  FetchedItem: "seq:u at:u outer:b nonce:b ct:b-16400 key:b? entry:b?",
  FetchedItems: "items:[]@FetchedItem",
  Receipts: "ids:[-256]i",
  DeviceReceipt: "id:i waiting:b parked:b",
  ReceiptsOf: "receipts:[]@DeviceReceipt",
  OfficePublish: "document:b-16509",
  OfficeView: "document:b serverTimeMs:u",
  Holiday: "date:s name:s",
  Holidays: "days:[]@Holiday regions:[]s",
  QuietHours: "zone:s-64 start:u0-1439 end:u0-1439 urgent:y",
  PushSubscription: "endpoint:s-1024 p256dh:b-65 auth:b-16 quiet:@QuietHours?=",
  PushState: "vapidKey:b subscribed:y quiet:@QuietHours?=",
  UrgentSeen: "message:i client:i",
  UrgentState: "rung:u atMs:u nextMs:u",
};

/** What a client may say. */
export const CLIENT_TAGS: readonly string[] = ["auth", "renew", "post", "direct", "signal", "void", "ack", "pong", "present", "watch", "watch_office", "ping", "call", "watch_room"];

/** What a server may say. */
export const SERVER_TAGS: readonly string[] = ["challenge", "hello", "token", "accepted", "deliver", "entry", "notice", "signal", "delivered", "caught_up", "error", "device_mismatch", "epoch_stale", "blocked", "ping", "draining", "presence", "office", "pong", "call_state", "room"];
