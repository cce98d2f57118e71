"""An example function. `hanshu deploy` sends it to the server, `hanshu invoke` calls it."""


def handler(event, context):
    """Greets whom the event names.

    event is the JSON that the caller sent; what is returned goes back as JSON.
    """
    name = event.get("name", "world")
    context.getLogger().info(f"greeting {name}")  # shows in `hanshu logs`
    greeting = context.getUserData("GREETING") or "Hello"  # set in hanshu.json
    return {"message": f"{greeting}, {name}!", "request_id": context.getRequestID()}
