<?php
// Runs a PHP function for hanshu: waits for calls on a socket, hands them to the handler, sends back what it returns.
//
// The protocol is described in internal/lang/protocol.go, the contract of handlers in FunctionGraph reference 5.2. PHP 7.3 or
// newer; no extension is needed. Everything here stands in a namespace and in static members, so that the function finds the
// global names free.
namespace hanshu;

const READY = 1, LOAD = 2, LOADED = 3, CALL = 4, RESULT = 5, FAILED = 6, BEAT = 7, BEATEN = 8, STOP = 9, STOPPED = 10;
const FAIL_LOAD = 'l', FAIL_INIT = 'i', FAIL_EXCEPTION = 'x', FAIL_LAST = 'e', FAIL_RESULT = 'r', FAIL_TOO_LARGE = 't';

const HEAD = 12; // bytes of a frame before meta
const CHUNK = 65536; // one read takes a whole small frame
const MAX_MESSAGE = 32768; // bytes of an error's message
const MAX_STACK = 200; // lines of a stack
const MAX_LINE = 2000; // bytes of one
const MAX_DEPTH = 4096; // of nested lists and objects, in an event and in a result

final class HandlerNotFound extends \Exception
{
}

/** What a handler gets beside the event. What is the same for all calls is Worker's. */
final class Context
{
    private $requestID;
    private $deadline; // Unix milliseconds
    private $extra;

    public function __construct(string $requestID, int $deadline, array $extra = [])
    {
        $this->requestID = $requestID;
        $this->deadline = $deadline;
        $this->extra = $extra;
    }

    public function getRequestID() { return $this->requestID; }
    public function getRemainingTimeInMilliSeconds() { return max(0, $this->deadline - (int)(microtime(true) * 1000)); }
    /** The timeout of the function: that is what FunctionGraph means by this name. */
    public function getRunningTimeInSeconds() { return Worker::$load['timeout_s']; }
    public function getAccessKey() { return Worker::$load['access_key']; }
    public function getSecretKey() { return Worker::$load['secret_key']; }
    public function getSecurityAccessKey() { return Worker::$load['access_key']; }
    public function getSecuritySecretKey() { return Worker::$load['secret_key']; }
    public function getSecurityToken() { return Worker::$load['security_token']; }
    public function getToken() { return Worker::$load['auth_token']; }
    public function getUserData($key, $missing = null) { return Worker::$load['user_data'][$key] ?? $missing; }
    public function getFunctionName() { return Worker::$load['function']; }
    public function getVersion() { return Worker::$load['version']; }
    public function getMemorySize() { return Worker::$load['memory_mb']; }
    public function getCPUNumber() { return Worker::$load['cpu_millis']; }
    public function getProjectID() { return Worker::$load['project_id']; }
    public function getPackage() { return Worker::$load['package']; }
    public function getLogger() { return Worker::$logger; }
    public function getAlias() { return $this->extra['alias'] ?? ''; }
    public function getWorkflowID() { return $this->extra['workflow_id'] ?? ''; }
    public function getWorkflowRunID() { return $this->extra['workflow_run_id'] ?? ''; }
    public function getWorkflowStateID() { return $this->extra['workflow_state_id'] ?? ''; }
    public function getWorkflowAttempt() { return $this->extra['workflow_attempt'] ?? 0; }
}

/** $context->getLogger(). A message may be a format of sprintf with its arguments behind it. */
final class Logger
{
    private const LEVELS = ['DEBUG' => 10, 'INFO' => 20, 'WARN' => 30, 'WARNING' => 30, 'ERROR' => 40];
    private $level = 20;

    public function setLevel($name)
    {
        $level = self::LEVELS[strtoupper((string)$name)] ?? null;
        if ($level === null) {
            throw new \InvalidArgumentException("level $name is none of DEBUG, INFO, WARN, ERROR");
        }
        $this->level = $level;
    }

    public function debug($message, ...$args) { $this->write(10, 'D', $message, $args); }
    public function info($message, ...$args) { $this->write(20, 'I', $message, $args); }
    public function log($message, ...$args) { $this->write(20, 'I', $message, $args); }
    public function warn($message, ...$args) { $this->write(30, 'W', $message, $args); }
    public function warning($message, ...$args) { $this->write(30, 'W', $message, $args); }
    public function error($message, ...$args) { $this->write(40, 'E', $message, $args); }

    private function write($number, $letter, $message, $args)
    {
        if ($number < $this->level) {
            return;
        }
        $text = self::text($message);
        if ($args) {
            try {
                $formatted = @vsprintf($text, $args);
            } catch (\Throwable $e) {
                $formatted = false; // too few arguments
            }
            $text = $formatted === false ? implode(' ', array_map([self::class, 'text'], array_merge([$text], $args))) : $formatted;
        }
        Worker::log($letter, $text);
    }

    private static function text($value)
    {
        if (is_string($value) || is_int($value) || is_float($value) || is_object($value) && method_exists($value, '__toString')) {
            return (string)$value;
        }
        return (string)json_encode($value, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PARTIAL_OUTPUT_ON_ERROR);
    }
}

/** The life of this process. */
final class Worker
{
    public static $load; // the load frame's JSON
    public static $logger;
    public static $files = []; // to be loaded, in this order
    private static $socket;
    private static $output;
    private static $pid;
    private static $inherited = 0; // peak memory of the program that started this one, in KiB
    private static $owing = false; // an answer is owed, which the end of the process must give
    private static $stage = FAIL_LOAD;
    private static $seq = 0;
    private static $hooks = []; // BEAT and STOP -> name of a function

    /** Comes up, waits for the load and becomes the function, up to its code. */
    public static function begin()
    {
        self::$pid = getmypid();
        self::$output = fopen('php://fd/1', 'wb'); // its own descriptor: the function may close STDOUT
        self::$logger = new Logger();
        self::$socket = self::open();
        $status = self::statusPeak();
        $usage = getrusage()['ru_maxrss'];
        if ($status > 0 && $usage > $status + 1024) {
            self::$inherited = $usage;
        }
        register_shutdown_function([self::class, 'ending']);
        set_error_handler([self::class, 'complain']);
        self::send(READY, 0, '', '');
        [$kind, , , $body] = self::receive();
        if ($kind !== LOAD) {
            exit(1);
        }
        self::$load = json_decode($body, true);
        unset($body);
        self::$owing = true;
        self::enter();
    }

    private static function enter()
    {
        foreach (self::$load['env'] ?? [] as $name => $value) {
            putenv("$name=$value");
            $_ENV[$name] = $_SERVER[$name] = $value;
        }
        if (getenv('TZ') !== false) {
            @date_default_timezone_set(getenv('TZ'));
        }
        try {
            if (!@chdir(self::$load['code_root'])) {
                throw new HandlerNotFound('the code folder ' . self::$load['code_root'] . ' cannot be entered');
            }
            foreach (['handler', 'init_handler', 'beat_handler', 'stop_handler'] as $key) {
                if (($name = self::$load[$key] ?? '') === '') {
                    continue;
                }
                $file = self::$load['code_root'] . '/' . self::fileOf($name);
                if (!is_file($file)) {
                    throw new HandlerNotFound('there is no ' . self::fileOf($name) . ' in the package');
                }
                self::$files[] = $file;
            }
        } catch (\Throwable $e) {
            self::refuse($e);
        }
    }

    private static function fileOf($handler) { return substr($handler, 0, strrpos($handler, '.')) . '.php'; }

    /** Finds a function of the package; one of PHP's own is none. */
    private static function find($handler)
    {
        $name = substr($handler, strrpos($handler, '.') + 1);
        if (!function_exists($name) || !(new \ReflectionFunction($name))->isUserDefined()) {
            throw new HandlerNotFound(self::fileOf($handler) . " has no function \"$name\"");
        }
        return $name;
    }

    /** Runs the initializer, and then answers calls until the stream ends. */
    public static function run()
    {
        try {
            $handler = self::find(self::$load['handler']);
            foreach ([BEAT => 'beat_handler', STOP => 'stop_handler'] as $kind => $key) {
                if ((self::$load[$key] ?? '') !== '') {
                    self::$hooks[$kind] = self::find(self::$load[$key]);
                }
            }
            if ((self::$load['init_handler'] ?? '') !== '') {
                $initializer = self::find(self::$load['init_handler']);
                self::$stage = FAIL_INIT;
                $initializer(new Context('', (int)(microtime(true) * 1000) + self::$load['init_timeout_s'] * 1000));
            }
            self::flush();
        } catch (\Throwable $e) {
            self::refuse($e);
        }
        self::answer(LOADED, '', '');
        for (;;) {
            [$kind, $seq, $meta, $body] = self::receive();
            self::$seq = $seq;
            if ($kind !== CALL) {
                self::attend($kind);
                continue;
            }
            self::$stage = FAIL_EXCEPTION;
            self::$owing = true;
            self::call($handler, $meta, $body);
        }
    }

    /** Answers what is no call: the question whether all is well, and the word that this is the end. */
    private static function attend($kind)
    {
        if (!isset(self::$hooks[$kind])) {
            exit(1);
        }
        $well = false;
        try {
            $seconds = $kind === STOP ? self::$load['stop_timeout_s'] : 3;
            $said = (self::$hooks[$kind])(new Context('', (int)(microtime(true) * 1000) + $seconds * 1000));
            $well = $kind === STOP || $said;
            self::flush();
        } catch (\Throwable $e) {
            $well = false;
            self::log('E', implode("\n", self::stack($e)));
        }
        if ($kind === BEAT) {
            self::answer(BEATEN, $well ? "\x01" : "\x00", '');
        } elseif ($well) {
            self::answer(STOPPED, '', '');
        } else {
            self::answer(FAILED, FAIL_EXCEPTION, self::failure('PreStop', 'the pre-stop handler threw', []));
        }
    }

    private static function call($handler, $meta, $body)
    {
        $text = '';
        try {
            // Objects come as stdClass, which keeps {} and [] apart; what FunctionGraph hands over, its users turn into arrays
            // with json_decode(json_encode($event), true).
            $event = json_decode($body, false, MAX_DEPTH, JSON_THROW_ON_ERROR);
            $result = $handler($event, self::context($meta));
            self::$stage = FAIL_RESULT;
            $text = json_encode($result, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR, MAX_DEPTH);
            self::$stage = FAIL_EXCEPTION;
            unset($event, $result); // destructors of the function may throw
            self::flush();
        } catch (\Throwable $e) {
            self::fail(self::$stage, $e);
            return;
        }
        $limit = self::$load['max_result'];
        if (strlen($text) > $limit) {
            $message = 'the result is ' . strlen($text) . " bytes of JSON, over the limit of $limit";
            self::answer(FAILED, FAIL_TOO_LARGE, self::failure('ResponseTooLarge', $message, []));
            return;
        }
        self::answer(RESULT, pack('N', self::peak()), $text);
    }

    private static function context($meta)
    {
        $id = substr($meta, 8);
        $zero = strpos($id, "\0");
        $extra = $zero === false ? [] : json_decode(substr($id, $zero + 1), true);
        if (isset($extra['credentials'])) {
            self::$load = array_merge(self::$load, $extra['credentials']);
            unset($extra['credentials']);
        }
        return new Context($zero === false ? $id : substr($id, 0, $zero), unpack('J', $meta)[1], $extra);
    }

    // --- failures

    private static function fail($kind, \Throwable $error)
    {
        try {
            self::flush();
        } catch (\Throwable $e) {
            $error = $e; // of a function called by ob_start
        }
        self::answer(FAILED, $kind, self::describe($kind, $error));
    }

    /** Reports that the function cannot be loaded, and waits until the server ends this process. */
    public static function refuse(\Throwable $error)
    {
        self::fail(self::$stage, $error);
        self::receive();
        exit(1);
    }

    private static function describe($kind, \Throwable $error)
    {
        $type = get_class($error);
        $zero = strpos($type, "\0"); // an anonymous class
        $type = $zero === false ? $type : substr($type, 0, $zero);
        $type = strpos($type, __NAMESPACE__ . '\\') === 0 ? substr($type, strlen(__NAMESPACE__) + 1) : $type;
        $message = self::message($error);
        if ($kind === FAIL_RESULT) {
            return self::failure($type, 'the result cannot be written as JSON: ' . $message, []);
        }
        return self::failure($type, $message, self::stack($error));
    }

    /** PHP lets a class put anything into the message. */
    private static function message(\Throwable $error)
    {
        $message = $error->getMessage();
        return is_string($message) ? $message : (string)json_encode($message, JSON_PARTIAL_OUTPUT_ON_ERROR);
    }

    /** The places an error went through, those of this file left out. Arguments are not shown: they may be secrets. */
    private static function stack(\Throwable $error)
    {
        $lines = [];
        for ($e = $error; $e !== null && count($lines) <= MAX_STACK; $e = $e->getPrevious()) {
            $place = $e->getFile() === __FILE__ ? '' : ' in ' . $e->getFile() . ':' . $e->getLine();
            $lines[] = ($lines ? 'caused by ' : '') . strtok(get_class($e), "\0") . ': ' . strtok(self::message($e) . "\n", "\n") . $place;
            foreach ($e->getTrace() as $i => $frame) {
                if (isset($frame['class']) && $frame['class'] === self::class) {
                    break;
                }
                $ours = ($frame['file'] ?? __FILE__) === __FILE__;
                if ($ours && $frame['function'] === 'require_once') {
                    break;
                }
                $lines[] = "#$i " . ($ours ? '' : $frame['file'] . '(' . $frame['line'] . '): ')
                    . ($frame['class'] ?? '') . ($frame['type'] ?? '') . ($frame['function'] ?? '') . '()';
            }
        }
        if (count($lines) > MAX_STACK) {
            $out = count($lines) - MAX_STACK;
            array_splice($lines, MAX_STACK / 2, $out, ["... $out lines left out ..."]);
        }
        return $lines;
    }

    private static function failure($type, $message, array $stack)
    {
        $cut = function ($line) { return strlen($line) > MAX_LINE ? substr($line, 0, MAX_LINE) . '...' : $line; };
        $message = strlen($message) > MAX_MESSAGE ? substr($message, 0, MAX_MESSAGE) . '...' : $message;
        return json_encode(['errorMessage' => $message, 'errorType' => $cut($type), 'stackTrace' => array_map($cut, $stack)],
            JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
    }

    /** Speaks for a process that ends while an answer is owed: after exit() and die(), and after an error that nothing catches. */
    public static function ending()
    {
        if (getmypid() !== self::$pid) {
            return; // a child that the function forked
        }
        $last = error_get_last();
        $fatal = $last !== null && ($last['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR));
        if (!self::$owing) {
            if ($fatal) {
                self::log('E', $last['message'] . ' in ' . $last['file'] . ' on line ' . $last['line']);
            }
            return;
        }
        try {
            self::flush();
        } catch (\Throwable $e) {
            // what was printed before stands
        }
        $failure = $fatal
            ? self::failure('FatalError', $last['message'], [$last['file'] . ':' . $last['line']])
            : self::failure('Exit', 'the function called exit() or die()', []);
        self::answer(FAILED, self::$stage === FAIL_LOAD || self::$stage === FAIL_INIT ? self::$stage : FAIL_LAST, $failure);
    }

    // --- output

    /** The error handler: PHP's warnings and notices become log lines. PHP goes on as it would, but prints nothing. */
    public static function complain($number, $message, $file, $line)
    {
        if (error_reporting() & $number) {
            $names = [E_WARNING => 'Warning', E_USER_WARNING => 'Warning', E_NOTICE => 'Notice', E_USER_NOTICE => 'Notice',
                E_DEPRECATED => 'Deprecated', E_USER_DEPRECATED => 'Deprecated'];
            $letter = in_array($names[$number] ?? '', ['Notice', 'Deprecated'], true) ? 'I' : 'W';
            self::log($letter, ($names[$number] ?? 'Error') . ": $message in $file on line $line");
        }
        return false;
    }

    public static function log($letter, $text)
    {
        @fwrite(self::$output, "\x1e" . $letter . str_replace("\n", "\x1f", $text) . "\n");
    }

    /** Brings what the function left in output buffers into the pipe. */
    private static function flush()
    {
        while (ob_get_level() > 0 && @ob_end_flush()) {
            continue;
        }
    }

    // --- frames

    private static function open()
    {
        // fopen duplicates the descriptor and leaves the original open, and children would inherit both. PHP has no means
        // against that but FFI, which is used where it is there.
        $c = null;
        try {
            if (extension_loaded('ffi')) {
                $c = \FFI::cdef('int dup(int); int close(int); int fcntl(int, int, ...);');
                $next = $c->dup(3);
                $c->close($next); // the number that fopen takes
            }
        } catch (\Throwable $e) {
            $c = null; // switched off in this PHP
        }
        $socket = fopen('php://fd/3', 'r+b');
        stream_set_blocking($socket, true);
        stream_set_read_buffer($socket, 0);
        stream_set_write_buffer($socket, 0);
        if ($c !== null) {
            $c->fcntl($next, 2, 1); // F_SETFD, FD_CLOEXEC
            $c->close(3);
        }
        return $socket;
    }

    /** Waits for a frame: [type, seq, meta, body]. The end of the stream ends the process. */
    private static function receive()
    {
        $data = '';
        $missing = HEAD;
        try {
            while ($missing > 0) {
                $more = @fread(self::$socket, max(CHUNK, min($missing, 1 << 20)));
                if ($more === '' || $more === false) {
                    if (feof(self::$socket)) {
                        exit(0);
                    }
                    continue; // a signal
                }
                $data = $data === '' ? $more : $data . $more;
                if (strlen($data) < HEAD) {
                    continue;
                }
                $head = unpack('Nsize/Ckind/x/nmeta/Nseq', $data);
                $missing = HEAD + $head['size'] - strlen($data);
            }
        } catch (\Throwable $e) {
            self::log('E', 'exception outside a call: ' . get_class($e));
            exit(1);
        }
        return [$head['kind'], $head['seq'], substr($data, HEAD, $head['meta']), substr($data, HEAD + $head['meta'])];
    }

    private static function answer($kind, $meta, $body)
    {
        self::$owing = false;
        self::send($kind, self::$seq, $meta, $body);
    }

    /** Any trouble ends the process, since half a frame is of no use. */
    private static function send($kind, $seq, $meta, $body)
    {
        if (getmypid() !== self::$pid) {
            exit(0); // a child that the handler forked came back from it
        }
        $frame = pack('NCxnN', strlen($meta) + strlen($body), $kind, strlen($meta), $seq) . $meta . $body;
        try {
            $sent = @fwrite(self::$socket, $frame);
        } catch (\Throwable $e) {
            $sent = 0; // closed by the function
        }
        if ($sent !== strlen($frame)) {
            exit(1);
        }
    }

    // --- memory

    /** The highest resident memory of this process, in KiB. The kernel hands on the figure of getrusage from the program that
     * started this one: it tells nothing before this process has outgrown it, and until then the slower /proc is asked. */
    private static function peak()
    {
        $kib = getrusage()['ru_maxrss'];
        return $kib > self::$inherited ? $kib : self::statusPeak();
    }

    private static function statusPeak()
    {
        return preg_match('/VmHWM:\s*(\d+)/', (string)@file_get_contents('/proc/self/status'), $found) ? (int)$found[1] : 0;
    }
}

// Code is loaded here and not in a method, because the variables at the top of a file are global only if it is loaded from here.
Worker::begin();
try {
    while (Worker::$files) {
        require_once array_shift(Worker::$files);
    }
} catch (\Throwable $thrown) {
    Worker::refuse($thrown);
}
Worker::run();
