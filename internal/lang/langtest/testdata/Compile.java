import java.io.File;
import java.util.ArrayList;
import java.util.List;
import javax.tools.ToolProvider;

/** Compiles each of many folders into itself, in one process: Compile.java CLASSPATH FOLDER... */
class Compile {
    public static void main(String[] arguments) {
        for (int i = 1; i < arguments.length; i++) {
            List<String> command = new ArrayList<>();
            String release = new File(arguments[i], "release17").exists() ? "17" : "8";
            for (String flag : new String[] {"-nowarn", "-Xlint:-options", "--release", release, "-encoding", "UTF-8", "-cp", arguments[0], "-d", arguments[i]}) {
                command.add(flag);
            }
            add(new File(arguments[i]), command);
            if (ToolProvider.getSystemJavaCompiler().run(null, null, null, command.toArray(new String[0])) != 0) {
                System.exit(1);
            }
        }
    }

    static void add(File folder, List<String> command) {
        for (File file : folder.listFiles()) {
            if (file.isDirectory()) {
                add(file, command);
            } else if (file.getName().endsWith(".java")) {
                command.add(file.getPath());
            }
        }
    }
}
