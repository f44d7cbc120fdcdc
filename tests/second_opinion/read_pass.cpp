// What KDE's pass reader (Debian: libkpimpkpass-dev) finds in a .pkpass, in the language of the environment.
#include <KPkPass/Barcode>
#include <KPkPass/BoardingPass>
#include <KPkPass/Field>
#include <KPkPass/Pass>
#include <QGuiApplication>
#include <QImage>
#include <QJsonDocument>
#include <QJsonObject>
#include <cstdio>

int main(int argc, char **argv) {
    QGuiApplication app(argc, argv);
    auto *pass = KPkPass::Pass::fromFile(QString::fromLocal8Bit(argv[1]));
    if (!pass) return 1;
    QJsonObject fields, images;
    for (const auto &field : pass->fields())
        fields[field.key()] = QJsonObject{{"label", field.label()}, {"value", field.valueDisplayString()}};
    for (const auto *name : {"icon", "logo", "strip", "background", "footer", "thumbnail", "artwork", "primaryLogo"})
        for (unsigned scale = 1; scale <= 3; ++scale)
            if (pass->hasImage(QLatin1String(name)))
                images[QString::fromLatin1("%1@%2").arg(QLatin1String(name)).arg(scale)] =
                    pass->image(QLatin1String(name), scale).width();
    const auto barcodes = pass->barcodes();
    const QJsonObject read{{"type", pass->type()}, {"serialNumber", pass->serialNumber()},
                           {"description", pass->description()}, {"logoText", pass->logoText()}, {"voided", pass->isVoided()},
                           {"authenticationToken", pass->authenticationToken()},
                           {"backgroundColor", pass->backgroundColor().name()},
                           {"updateUrl", pass->passUpdateUrl().toString()},
                           {"barcode", barcodes.isEmpty() ? QString() : barcodes.first().message()},
                           {"fields", fields}, {"images", images}};
    std::puts(QJsonDocument(read).toJson(QJsonDocument::Indented).constData());
}
