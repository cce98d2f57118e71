"""What a function logs with: context.getLogger(), and the logging module's root. worker.py loads it before it is ready."""
import sys

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50, "FATAL": 50}


def level_number(level):
    """Reads a level as a name in any case or as a number of the logging module."""
    if isinstance(level, str):
        if level.upper() not in LEVELS:
            raise ValueError("level %r is none of DEBUG, INFO, WARN, ERROR" % level)
        return LEVELS[level.upper()]
    return int(level)


def level_letter(number):
    return "E" if number >= 40 else "W" if number >= 30 else "I" if number >= 20 else "D"


class Logger(object):
    """context.getLogger(). Messages take arguments as in the logging module: logger.info("%s rows", n)."""

    def __init__(self, write):
        self._write = write
        self._level = 20

    def setLevel(self, level):
        self._level = level_number(level)

    def debug(self, message, *args):
        self._log(10, message, args)

    def info(self, message, *args):
        self._log(20, message, args)

    def warn(self, message, *args):
        self._log(30, message, args)

    warning = warn

    def error(self, message, *args):
        self._log(40, message, args)

    def log(self, level, *args):
        """log(message) at level INFO, or log(level, message, ...)."""
        if args:
            self._log(level_number(level), args[0], args[1:])
        else:
            self._log(20, level, ())

    def _log(self, number, message, args):
        if number < self._level:
            return
        text = str(message)
        if args:
            try:
                text = text % args
            except (TypeError, ValueError, KeyError):
                text = " ".join([text] + [str(a) for a in args])
        self._write(number, text)


class LoggingHook(object):
    """Gives the logging module's root a handler that keeps levels, at the moment when the function imports logging."""

    def __init__(self, write):
        self._write = write

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is None:
                continue
            run = getattr(spec.loader, "exec_module", None)
            if run is not None:
                def exec_module(module):
                    run(module)
                    if hasattr(module, "root") and hasattr(module, "Handler"):  # not a logging.py of the function
                        self.attach(module)
                spec.loader.exec_module = exec_module
            return spec
        return None

    def attach(self, logging):
        write, basic = self._write, logging.basicConfig

        class RootHandler(logging.Handler):
            def emit(self, record):
                try:
                    write(record.levelno, self.format(record))
                except Exception:
                    self.handleError(record)

        ours = RootHandler()
        ours.setFormatter(logging.Formatter("%(message)s"))
        logging.root.addHandler(ours)

        def basicConfig(**options):
            # basicConfig does nothing once the root has a handler, which would silently drop the level asked for.
            if logging.root.handlers == [ours]:
                logging.root.removeHandler(ours)
                if not {"filename", "stream", "handlers"} & set(options):
                    if "format" in options:
                        ours.setFormatter(None)  # basicConfig sets the one asked for
                    options["handlers"] = [ours]
            basic(**options)

        logging.basicConfig = basicConfig
