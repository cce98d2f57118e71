"""The function of a template's rehearsal: see worker.py."""


def handler(event, context):
    return event
