import base64
import json

GREETINGS = {"en": "Hello", "fr": "Bonjour", "zh": "你好"}


def handler(event, context):
    """Greets whom the body names, in the language of the query."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    try:
        name = json.loads(body or "{}").get("name", "world")
    except ValueError:
        return answer(400, {"error": "the body must be JSON"})
    language = (event.get("queryStringParameters") or {}).get("lang", "en")
    if language not in GREETINGS:
        return answer(404, {"error": "no greeting in " + language})
    return answer(200, {"message": f"{GREETINGS[language]}, {name}!"})


def answer(status, body):
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "isBase64Encoded": False, "body": json.dumps(body)}
