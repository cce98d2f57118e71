import java.io.DataInputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;

/**
 * The floor's worker: one frame in, one frame out, over file descriptor 3. A frame is a length of four bytes, big-endian, and
 * that much JSON, which Java has no reader for: so it goes back unread, and this floor is lower than those of other languages.
 */
public class Floor {
    public static void main(String[] arguments) throws Exception {
        FileDescriptor socket = new FileDescriptor();
        Field number = FileDescriptor.class.getDeclaredField("fd");
        number.setAccessible(true);
        number.setInt(socket, 3);
        DataInputStream in = new DataInputStream(new FileInputStream(socket));
        FileOutputStream out = new FileOutputStream(socket);
        for (;;) {
            int first = in.read();
            if (first < 0) {
                return;
            }
            byte[] body = new byte[first << 24 | in.readUnsignedByte() << 16 | in.readUnsignedShort()];
            in.readFully(body);
            out.write(ByteBuffer.allocate(4 + body.length).putInt(body.length).put(body).array());
        }
    }
}
