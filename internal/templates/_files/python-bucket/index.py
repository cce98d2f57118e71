from urllib.parse import unquote_plus


def handler(event, context):
    """Sums up the objects that were created; keys in notifications are URL-encoded."""
    created = []
    for record in event.get("Records", []):
        if not record["eventName"].startswith("ObjectCreated"):
            continue
        key = unquote_plus(record["obs"]["object"]["key"])
        created.append((record["obs"]["object"].get("size", 0), record["obs"]["bucket"]["name"] + "/" + key))
        context.getLogger().info("created " + key)
    largest = max(created)[1] if created else None
    return {"created": len(created), "bytes": sum(size for size, _ in created), "largest": largest}
