// oscpack's side of the codec benchmark: lines of hex in, nanoseconds to read each packet out.
#include <oscpack/osc/OscReceivedElements.h>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

static volatile double sink;

static double look_at(const osc::ReceivedMessage &message) {
    double sum = message.AddressPattern()[0];
    for (auto arg = message.ArgumentsBegin(); arg != message.ArgumentsEnd(); ++arg) {
        if (arg->IsInt32()) sum += arg->AsInt32Unchecked();
        else if (arg->IsFloat()) sum += arg->AsFloatUnchecked();
        else if (arg->IsString()) sum += arg->AsStringUnchecked()[0];
    }
    return sum;
}

static double look_at(const osc::ReceivedPacket &packet) {
    if (packet.IsMessage()) return look_at(osc::ReceivedMessage(packet));
    double sum = 0;
    osc::ReceivedBundle bundle(packet);
    for (auto element = bundle.ElementsBegin(); element != bundle.ElementsEnd(); ++element)
        if (!element->IsBundle()) sum += look_at(osc::ReceivedMessage(*element));
    return sum;
}

int main() {
    using clock = std::chrono::steady_clock;
    const auto batch = std::chrono::microseconds(500);
    std::string line;
    while (std::getline(std::cin, line)) {
        std::vector<char> packet;
        for (size_t i = 0; i + 1 < line.size(); i += 2)
            packet.push_back(static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16)));
        try {
            long calls = 0;
            const auto start = clock::now();
            do {
                for (int i = 0; i < 256; i++, calls++)
                    sink = look_at(osc::ReceivedPacket(packet.data(), static_cast<osc::osc_bundle_element_size_t>(packet.size())));
            } while (clock::now() - start < batch);
            std::printf("%.2f -\n", std::chrono::duration<double, std::nano>(clock::now() - start).count() / calls);
        } catch (const osc::Exception &) {
            std::puts("- -");
        }
    }
}
