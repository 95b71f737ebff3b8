package chaos

// law says whether the ledger holds a bus to the whole law of publishing. A bus
// from before it was written is held to what it documents, unless -strict asks.
var law = lawful
