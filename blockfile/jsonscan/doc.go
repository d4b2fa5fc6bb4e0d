// Package jsonscan reads JSON between bytes: it checks a record strictly and, in
// the same pass, finds out the few things that storing the record needs.
//
// # Nouns
//
// A record is one JSON object. A span is where something lies in the bytes that
// were scanned. A member is one key with its value; the own members are the
// top-level ones named "timestamp", "dataset_id" and "table". The shape of a
// record is a hash of which keys it has and which kinds of values stand there.
// A number class says in which type a number can be kept without loss.
//
// # How one record travels
//
//	bytes ──► Scanner.Record ──► Record{Object, Timestamp, Dataset, Table, Captured, Shape}
//	             │                        │                                   │
//	             │ refuses what is        │ spans: the caller reads           │ known shape: nothing to learn
//	             │ not strict JSON        │ them with ParseTime,              │ new shape: the schema
//	             ▼                        │ EqualString, AppendUnquoted       │ is widened once
//	         *SyntaxError                 ▼                                   ▼
//
// Nothing is decoded into Go values and nothing is copied: the record's bytes stay
// the truth. Later passes over bytes that are known to be good use the small
// functions of this package (SkipValue, AppendUnquoted, ClassifyNumber, ...),
// which check nothing twice.
//
// # What is accepted
//
// RFC 8259, read strictly, and where that leaves a choice:
//
//   - Text is UTF-8. Bytes that are not (surrogates coded as bytes, overlong forms,
//     code points past U+10FFFF) are refused, in keys and in strings. So are UTF-16
//     and a byte order mark.
//   - \u escapes that name half a surrogate pair are refused: no UTF-8 text could
//     hold them. Escaped and plain U+0000 to U+10FFFF besides these are accepted,
//     noncharacters too.
//   - A key stands once in an object, at every level. Keys are compared after
//     unescaping, byte by byte; they are not normalised.
//   - Numbers are accepted by grammar at any size and length: 1e999999 is kept as
//     the text it is.
//   - Arrays and objects are nested at most Options.MaxDepth levels (1,000 unless
//     told otherwise, never more than 10,000).
//   - White space stands around the value, nothing else before or after it. Empty
//     input is refused.
//   - Input of 2 GiB and more is refused.
//
// # Promises
//
// Time and memory are linear in the input, whoever wrote it: keys are looked up in
// a hash table with a seed of this process, and recursion ends at the depth limit.
// A warm Scanner allocates nothing for a record that it accepts. No input makes any
// function here panic.
//
// Two records have equal shapes when, and but for chance only when, they have the same
// keys in every object, the same kinds of values there (null, boolean, one of the four
// number classes, string, empty array) and, for each array, the same set
// of element kinds and element shapes; whatever the order of members and elements, and
// however many elements. Shapes are 64-bit hashes with a seed of this process: they
// must not be stored, and two different ones coincide with a probability of 2^-64.
//
// # Concurrency
//
// A Scanner belongs to one goroutine at a time. All functions are safe for
// concurrent use. No function keeps the bytes it was given.
package jsonscan
