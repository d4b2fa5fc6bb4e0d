"""Reads Avro files with the Python library of the Avro project.

Arguments: "records" or "heads", then paths. For each path one line {"path"}, then a line
a record: the record as JSON, or in "heads" its columns dataset_id and timestamp; then {"count",
"error"?}. Times are milliseconds, dates days since 1970.
"""

import datetime
import json
import sys

import avro.datafile
import avro.io

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def millis(value):
    return (value - EPOCH) // datetime.timedelta(milliseconds=1)


def plain(value):
    """Undoes the logical types: times to milliseconds, dates to days."""
    if isinstance(value, datetime.datetime):
        return millis(value)
    return (value - EPOCH.date()).days


def main(mode, paths):
    out = sys.stdout
    for path in paths:
        json.dump({"path": path}, out)
        out.write("\n")
        count = 0
        end = {}
        try:
            with avro.datafile.DataFileReader(open(path, "rb"), avro.io.DatumReader()) as reader:
                for record in reader:
                    count += 1
                    if mode == "heads":
                        out.write("%s\t%d\n" % (record["dataset_id"], millis(record["timestamp"])))
                    else:
                        out.write(json.dumps(record, default=plain, allow_nan=False) + "\n")
        except Exception as error:
            end["error"] = "%s: %s" % (type(error).__name__, error)
        end["count"] = count
        json.dump(end, out)
        out.write("\n")


main(sys.argv[1], sys.argv[2:])
